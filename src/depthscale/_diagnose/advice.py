"""What to try: one table, by the trouble and by what the operation does."""

from enum import Enum

from depthscale.network import Hazard


class Trouble(Enum):
    """What is the matter with an operation, or with what it was given."""

    DETACHED = "a detach stops the gradient"
    NO_GRAD = "it ran under no_grad"
    INDEXED = "only an index or a comparison was taken"
    OUTSIDE = "values left torch"
    CHECKPOINT = "a reentrant checkpoint was given nothing that requires a gradient"
    CUT = "no gradient comes back, for a reason that was not seen"
    ZEROED = "it hands back a gradient of exactly 0"
    SUBTRACTED = "a norm takes away all of the gradient"
    SILENT = "its output is exactly 0"
    MASKED = "what is made of it is masked"
    ROUNDED = "parameters are rounded before they are used"
    PIECEWISE = "the second derivative of a piecewise linear function is 0"
    BOTH_ZERO = "all factors of a product are 0"
    UNREGISTERED = "it runs and is no parameter of the model"
    NOT_OPTIMIZED = "the optimizer was not given it"
    NOT_FINITE = "it makes the first NaN or infinity"
    SLOPE = "its slope is small where its values lie"
    SLOPE_NOT_FINITE = "it makes the first gradient that is not finite"
    OVERFLOW = "its values pass the largest number of their type"
    MASK = "a mask is added to what is below 0 already"
    NEAR_LIMIT = "its values come near the largest number of their type"
    UNDERFLOW = "gradients become 0 in their type"
    SATURATED = "its values lie at its flat ends"
    DEAD = "its units are 0 for every sample"
    LARGE_INPUTS = "what the network is given has an unusual scale"
    EQUAL_INPUTS = "samples of the batch are equal"
    TWICE = "a loss that takes logits is given probabilities"
    NOT_LOGS = "a loss that takes log-probabilities is given probabilities"
    ONE_CLASS = "a cross entropy goes over one class"
    LABELS = "labels are not those of the classes"
    BROADCAST = "output and target have other shapes"
    ACROSS_SAMPLES = "a softmax goes over the samples"
    TARGETS = "targets have another scale than the output"
    LARGE_LOGITS = "logits are far from the size at which all classes are open"
    ONE_HOT = "a softmax looks at one value alone"
    FLAT = "a softmax tells nothing apart"
    COPIES = "layers begin with equal weights"
    GROWING = "it makes signals grow with depth"
    GROWING_SUM = "a sum adds a branch as large as the trunk"
    INERT = "a branch adds next to nothing"
    ONE_POSITION = "one position has all of the gradient"
    ALIGNED = "mixing leaves one direction"
    DROWNED = "one term of a sum is lost beside the other"


_SURROGATE = (
    "use a straight-through estimate, x + (round(x) - x).detach(), or a surrogate slope, which "
    "hand a gradient on"
)
_SCALE_INPUTS = (
    "normalize each feature (column, or channel of an image) by itself: subtract its mean, divide "
    "by its standard deviation"
)

ADVICE: dict[tuple[Trouble, Hazard | None], str] = {
    (Trouble.DETACHED, None): "take out the detach()",
    (Trouble.NO_GRAD, None): "take out the torch.no_grad()",
    (Trouble.INDEXED, None): (
        "use a softmax, a Gumbel softmax or a straight-through estimate, which have a gradient"
    ),
    (Trouble.OUTSIDE, None): (
        "stay with tensors from the inputs to the loss: torch.stack of parameters, say, in place "
        "of torch.tensor or as_tensor"
    ),
    (Trouble.CHECKPOINT, None): (
        "give the checkpoint use_reentrant=False, or call requires_grad_() on what it is given "
        "(of Hugging Face models: enable_input_require_grads())"
    ),
    (Trouble.CUT, None): "look at what runs between these parameters and the loss",
    (Trouble.ZEROED, Hazard.STEP): _SURROGATE,
    (Trouble.ZEROED, Hazard.SHARES): (
        "take the softmax before one value is chosen, or over the axis that has several values: "
        "over one alone it is constant; where the shares are 0 or 1 for their size, divide the "
        "scores"
    ),
    (Trouble.ZEROED, Hazard.LOG_SHARES): "take the softmax over the axis that has several values",
    (Trouble.ZEROED, Hazard.LIMIT): (
        "keep the values inside its bounds: begin parameters there, scale what comes in, or bound "
        "by a function with a slope everywhere (tanh, sigmoid, softplus)"
    ),
    (Trouble.ZEROED, Hazard.SIGMOID): (
        "begin with smaller scores or biases, so that the sigmoid is not at its ends"
    ),
    (Trouble.ZEROED, Hazard.SELECTION): (
        "look at what is chosen: other values get no gradient in this batch"
    ),
    (Trouble.ZEROED, Hazard.ASSEMBLY): (
        "look at what is read of it: the wrong part or position, or a mixing over another axis "
        "(attention that wants batch_first=True)"
    ),
    (Trouble.ZEROED, Hazard.PRODUCT): "it is multiplied with exactly 0: look at the mask or gate",
    (Trouble.ZEROED, None): (
        "use a function with a slope where these values lie, as softplus or leaky_relu for relu, "
        "or move them there by the biases"
    ),
    (Trouble.SUBTRACTED, None): (
        "put a layer between the last norm and the loss, or a loss that differs from sample to "
        "sample"
    ),
    (Trouble.SILENT, None): (
        "look at what makes it 0: biases, a threshold that is too high, the scale of what comes "
        "in; larger weights, a lower threshold, or softplus in place of a relu bring it back"
    ),
    (Trouble.MASKED, None): (
        "look at the mask, or at what is chosen behind it: their own part never reaches the output"
    ),
    (Trouble.ROUNDED, None): _SURROGATE,
    (Trouble.PIECEWISE, None): (
        "use a smooth activation (tanh, sin, silu, gelu, softplus): relu and leaky_relu have no "
        "second derivative"
    ),
    (Trouble.BOTH_ZERO, None): (
        "draw one of the two factors at random and leave the other at 0, as LoRA does: of two "
        "zeros neither gets a gradient"
    ),
    (Trouble.UNREGISTERED, None): (
        "keep the modules in nn.ModuleList or nn.ModuleDict (parameters in nn.ParameterList), so "
        "that parameters(), to() and state_dict() know of them"
    ),
    (Trouble.NOT_OPTIMIZED, None): (
        "give them to the optimizer (add_param_group), or freeze them by requires_grad_(False)"
    ),
    (Trouble.NOT_FINITE, Hazard.EXPONENTIAL): (
        "bound what goes into the exponential: clamp it or pass it through 2 tanh(s / 2), begin "
        "with its last layer at 0, and for shares subtract the maximum (torch.softmax, logsumexp)"
    ),
    (Trouble.NOT_FINITE, Hazard.LOGARITHM): (
        "keep what goes in above 0: clamp it from below or add eps, or use log_softmax, "
        "logsigmoid, log1p, which stay finite; of p log p use torch.special.xlogy or entr"
    ),
    (Trouble.NOT_FINITE, Hazard.ROOT): (
        "keep what goes in from falling below 0 by rounding, as E x^2 - (E x)^2 does: subtract "
        "the mean first (torch.var), or clamp at 0 and add eps"
    ),
    (Trouble.NOT_FINITE, Hazard.DIVISION): (
        "add an eps to what it divides by that its type can tell from 0 (1e-3 in float16), or "
        "clamp it away from 0"
    ),
    (Trouble.NOT_FINITE, Hazard.POWER): "bound what is raised to the power, or scale it first",
    (Trouble.NOT_FINITE, Hazard.SHARES): (
        "every value of a row is masked (-inf): leave one open, or mask the output instead"
    ),
    (Trouble.NOT_FINITE, Hazard.LOG_SHARES): (
        "every value of a row is masked (-inf): leave one open, or mask the output instead"
    ),
    (Trouble.NOT_FINITE, Hazard.ARC): "clamp what goes in to the inside of [-1, 1]",
    (Trouble.NOT_FINITE, None): "look at what goes in: its largest value stands in the trace",
    (Trouble.SLOPE_NOT_FINITE, Hazard.ROOT): (
        "its slope is infinite at 0: add eps before the root, as in sqrt(x^2 + eps)"
    ),
    (Trouble.SLOPE_NOT_FINITE, Hazard.SELECTION): (
        "the branch that is not chosen has an infinite slope, and 0 times infinity is NaN: compute "
        "it on a safe input, where(ok, x, 1), before it is chosen"
    ),
    (Trouble.SLOPE_NOT_FINITE, Hazard.EXPONENTIAL): (
        "bound what goes into the exponential, in branches that where() leaves out, too: compute "
        "it on a safe input, where(ok, x, 0)"
    ),
    (Trouble.SLOPE_NOT_FINITE, Hazard.LOGARITHM): (
        "clamp what goes into the logarithm away from 0; in branches that where() leaves out, "
        "compute it on a safe input"
    ),
    (Trouble.SLOPE_NOT_FINITE, Hazard.DIVISION): (
        "keep what it divides by away from 0, in branches that where() leaves out, too: compute it "
        "on a safe input"
    ),
    (Trouble.SLOPE_NOT_FINITE, Hazard.ARC): "clamp what goes in to the inside of (-1, 1)",
    (Trouble.SLOPE_NOT_FINITE, None): "look at where its slope is infinite, and add eps there",
    (Trouble.SLOPE, None): (
        "its slope is small where its values lie: move them to where it is steep (larger weights, "
        "a lower threshold, biases), choose a steeper activation or surrogate slope, or add skip "
        "connections"
    ),
    (Trouble.OVERFLOW, None): (
        "compute in a type of wider range there (bfloat16, float32), clamp the values, or scale "
        "these weights down"
    ),
    (Trouble.OVERFLOW, Hazard.POWER): (
        "square in float32: of float16 only numbers below 256 have a square; or scale first"
    ),
    (Trouble.MASK, None): (
        "where a mask of the type's minimum is added, overwrite instead: masked_fill, or a boolean "
        "mask of scaled_dot_product_attention; or compute in bfloat16 or float32"
    ),
    (Trouble.NEAR_LIMIT, None): (
        "compute in bfloat16 or float32 there, or clamp; trained further, such values overflow"
    ),
    (Trouble.UNDERFLOW, None): "scale the loss (torch.amp.GradScaler), or use bfloat16",
    (Trouble.SATURATED, None): (
        "scale what comes in down: smaller weights before it, or a norm; or use an activation "
        "without flat ends"
    ),
    (Trouble.DEAD, None): (
        "raise the biases, draw the weights anew, or use leaky_relu or softplus, whose units "
        "cannot die"
    ),
    (Trouble.LARGE_INPUTS, None): _SCALE_INPUTS,
    (Trouble.EQUAL_INPUTS, None): "give different samples: equal ones tell nothing of a batch",
    (Trouble.TWICE, None): (
        "return logits: take the softmax or sigmoid out of the model, or use the loss that takes "
        "its output (nll_loss of log_softmax; binary_cross_entropy)"
    ),
    (Trouble.NOT_LOGS, None): (
        "hand it log-probabilities: log_softmax in place of softmax, or cross_entropy of logits"
    ),
    (Trouble.ONE_CLASS, None): (
        "of one output use binary_cross_entropy_with_logits; cross_entropy takes one output a class"
    ),
    (Trouble.LABELS, None): "number the classes from 0 to their number less 1",
    (Trouble.BROADCAST, None): (
        "give both the same shape: squeeze the output's last axis, or unsqueeze the target"
    ),
    (Trouble.ACROSS_SAMPLES, None): "take the softmax over the classes: dim=-1",
    (Trouble.TARGETS, None): (
        "standardize the targets (subtract their mean, divide by their standard deviation)"
    ),
    (Trouble.LARGE_LOGITS, None): (
        "give these weights a variance of 1 / fan_in, or scale the logits down to an RMS of 1"
    ),
    (Trouble.ONE_HOT, None): (
        "scale the scores down: attention divides q k by sqrt(d), a temperature multiplies; or "
        "normalize q and k (QK-norm)"
    ),
    (Trouble.FLAT, None): (
        "draw the weights of the scores (of queries and keys) larger, with a variance of 1 / fan_in"
    ),
    (Trouble.COPIES, None): (
        "draw each layer anew (call reset_parameters, or initialize every copy): copies begin as "
        "one layer"
    ),
    (Trouble.GROWING, Hazard.SUM): (
        "take the mean in place of the sum, or divide by the root of the number of terms"
    ),
    (Trouble.GROWING, Hazard.POWER): (
        "a power of a growing signal grows faster than exponentially: put a norm before it, or "
        "bound what goes in"
    ),
    (Trouble.GROWING, Hazard.PRODUCT): (
        "a product of two growing signals grows faster than exponentially: put a norm before it, "
        "or bound one factor (a sigmoid)"
    ),
    (Trouble.GROWING, Hazard.EXPONENTIAL): (
        "bound what goes into the exponential: clamp it, or pass it through 2 tanh(s / 2)"
    ),
    (Trouble.GROWING, None): (
        "add skip connections, or change the normalization; `simulate` and `predict` compare them "
        "before training"
    ),
    (Trouble.GROWING_SUM, None): (
        "scale the branch, by 1 / sqrt(number of blocks) or a constant such as 0.1, begin it at 0, "
        "or put a norm before it"
    ),
    (Trouble.INERT, None): (
        "draw the branch's weights as the others are (torch.nn.init.kaiming_normal_): so small "
        "ones learn late"
    ),
    (Trouble.ONE_POSITION, None): (
        "look at what mixes positions: attention over the wrong axis (batch_first=True), a mask "
        "that hides all others, or a branch that begins at 0"
    ),
    (Trouble.ALIGNED, None): (
        "what mixes them leaves one direction (over-smoothing): add skip connections, or a share "
        "of the first features to each layer (arXiv:2007.02133), use fewer layers, or keep them "
        "apart by a norm (PairNorm, arXiv:1909.12223)"
    ),
    (Trouble.DROWNED, None): (
        "multiply the smaller term, or draw it as large: embeddings divided by sqrt(d) "
        "multiply by sqrt(d), as Vaswani et al. 2017 do (section 3.4)"
    ),
}


def advice_on(trouble: Trouble, hazard: Hazard | None = None) -> str:
    """What to try against a trouble at an operation that does this."""
    return ADVICE.get((trouble, hazard)) or ADVICE[trouble, None]
