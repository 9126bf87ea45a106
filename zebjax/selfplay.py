"""The old place of `SelfPlayConfig`, for experiment files of zebjax 0.1; use
`zebjax.experiment`.
"""

from zebjax.training.config import SelfPlayConfig as SelfPlayConfig
