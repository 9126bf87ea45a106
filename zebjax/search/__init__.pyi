from .config import Exploration as Exploration
from .config import Policy as Policy
from .config import SearchConfig as SearchConfig
from .tree import Evaluate as Evaluate
from .tree import Evaluator as Evaluator
from .tree import SearchResult as SearchResult
from .tree import evaluator as evaluator
from .tree import search as search
