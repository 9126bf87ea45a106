from .base import Player as Player
from .basic import heuristic as heuristic
from .basic import random as random
from .neural import searching_zeb as searching_zeb
from .neural import zeb as zeb
from .spec import make as make
