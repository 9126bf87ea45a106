"""The old place of `LearnerConfig`, for experiment files of zebjax 0.1; use `zebjax.experiment`."""

from zebjax.training.learner_config import LearnerConfig as LearnerConfig
