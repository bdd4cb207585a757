"""Why: arguments as records, every number in them computed."""

from depthscale._explain.argument import DEFAULT as DEFAULT
from depthscale._explain.argument import Argument as Argument
from depthscale._explain.argument import growth_argument as growth_argument
from depthscale._explain.batchnorm import BatchnormWalk as BatchnormWalk
from depthscale._explain.batchnorm import Identity as Identity
from depthscale._explain.batchnorm import NodeFlow as NodeFlow
from depthscale._explain.batchnorm import Passed as Passed
from depthscale._explain.batchnorm import Samples as Samples
from depthscale._explain.batchnorm import explain_batchnorm as explain_batchnorm
from depthscale._explain.batchnorm import random_input as random_input
from depthscale._explain.batchnorm_text import SYMBOLS as SYMBOLS
from depthscale._explain.block_steps import BLOCK_STEPS as BLOCK_STEPS
from depthscale._explain.dataset import Dataset as Dataset
from depthscale._explain.dataset import load_dataset as load_dataset
from depthscale._explain.explanation import Explanation as Explanation
from depthscale._explain.explanation import NormRows as NormRows
from depthscale._explain.explanation import explain as explain
from depthscale._explain.explanation import read_explanation as read_explanation
from depthscale._explain.formula import draw_formula as draw_formula
from depthscale._explain.formula import formula_line as formula_line
from depthscale._explain.normalizer_answers import ACTIVATIONS as ACTIVATIONS
from depthscale._explain.normalizer_answers import Normalizers as Normalizers
from depthscale._explain.normalizer_answers import answers as answers
from depthscale._explain.normalizer_answers import normalizers as normalizers
from depthscale._explain.normalizer_cells import KEEPS as KEEPS
from depthscale._explain.normalizer_cells import NORMALIZERS as NORMALIZERS
from depthscale._explain.normalizer_cells import Cell as Cell
from depthscale._explain.trainability import DEPTHS as DEPTHS
from depthscale._explain.trainability import RATES as RATES
from depthscale._explain.trainability import Matter as Matter
from depthscale._explain.trainability import MatterRow as MatterRow
from depthscale._explain.trainability import matter as matter
from depthscale._explain.trainability import read_matter as read_matter
from depthscale._explain.training import Settings as Settings
from depthscale._explain.training import Variant as Variant
from depthscale._explain.verdict import Outcome as Outcome
from depthscale._explain.verdict import Row as Row

__all__: list[str]
