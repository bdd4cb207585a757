"""What to try: one table, by the trouble and by what the operation does."""

from depthscale._diagnose.trouble import Trouble
from depthscale.network import Hazard

_SURROGATE = (
    "use a straight-through estimate, x + (round(x) - x).detach(), or a surrogate slope, which "
    "hand a gradient on"
)
_SKIPS = (
    "add skip connections, or change the normalization; `simulate` and `predict` compare them "
    "before training"
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
    (Trouble.SWALLOWED, None): (
        "return the gradient of that input from backward, or detach it in forward if it is to have "
        "none"
    ),
    (Trouble.ZERO_WEIGHTS, None): "draw these weights at random",
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
    (Trouble.EMPTY_BATCH, None): "give inputs with at least one sample; 32 tell more than 1",
    (Trouble.SMALL_BATCH, None): (
        "probe with the batch that you will train with, 8 samples or more; for so small a batch "
        "use LayerNorm or GroupNorm"
    ),
    (Trouble.NORM_OF_ONE, None): (
        "normalize over several values: fewer groups, all features, or no norm there"
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
        "scale what comes in down: smaller weights, scores or biases before it, or a norm; or use "
        "an activation without flat ends"
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
    (Trouble.NOT_WHOLE, None): (
        "take log_softmax over the classes' axis (dim=1), or hand logits to cross_entropy"
    ),
    (Trouble.EQUAL_LABELS, None): "shuffle the data, and look at how labels are read",
    (Trouble.SIGN, None): "end in a linear layer, without an activation",
    (Trouble.LABELS, None): "number the classes from 0 to their number less 1",
    (Trouble.BROADCAST, None): (
        "give both the same shape: squeeze the output's last axis, or unsqueeze the target"
    ),
    (Trouble.ACROSS_SAMPLES, None): "take the softmax over the classes: dim=-1",
    (Trouble.TARGETS, None): (
        "standardize the targets (subtract their mean, divide by their standard deviation)"
    ),
    (Trouble.LARGE_SIGNAL, None): (
        "put a norm in front of these weights, or scale what they are given down to an RMS of 1"
    ),
    (Trouble.LARGE_LOGITS, Hazard.PRODUCT): (
        "divide by this factor, or begin a temperature that is a logarithm at log(1 / 0.07) as "
        "CLIP does (arXiv:2103.00020)"
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
    (Trouble.GROWING, None): _SKIPS,
    (Trouble.GROWING_SUM, None): (
        "scale the branch, by 1 / sqrt(number of blocks) or a constant such as 0.1, begin it at 0, "
        "or put a norm before it"
    ),
    (Trouble.IDLE, None): (
        "draw the branch's weights as the others are (torch.nn.init.kaiming_normal_), or take the "
        "branch out"
    ),
    (Trouble.INERT, None): (
        "draw the branch's weights as the others are (torch.nn.init.kaiming_normal_): so small "
        "ones learn late"
    ),
    (Trouble.ONE_POSITION, None): (
        "look at what mixes positions: attention over the wrong axis (batch_first=True), a mask "
        "that hides all others, or a branch that begins at 0"
    ),
    (Trouble.SMOOTHED, None): (
        "what mixes them leaves one direction (over-smoothing, arXiv:1801.07606): add skip "
        "connections, or a share of the first features to each layer (arXiv:2007.02133), use fewer "
        "layers or rounds, or keep them apart by a norm (PairNorm, arXiv:1909.12223)"
    ),
    (Trouble.RATE, None): _SKIPS,
    (Trouble.OVER_TIME, None): (
        "make the recurrent weights orthogonal (torch.nn.init.orthogonal_ on each gate's square "
        "block of weight_hh; arXiv:1312.6120) and, where there are gates, open them towards the "
        "past: an LSTM's forget bias of 1 or more, a GRU's update bias likewise (Jozefowicz et al. "
        "2015)"
    ),
    (Trouble.MESSAGES, None): (
        "add skip connections between rounds of message passing, use fewer rounds, or scale what "
        "neighbours send by their number (as GCN does: arXiv:1609.02907)"
    ),
    (Trouble.SCRAMBLED, None): (
        "keep the learning rate below the limit, at least in the first steps, or lower the growth "
        "that makes steps unequal: skip connections, fewer layers, another normalization, a "
        "larger batch; equal steps (Adam) turn no layer too far, and do not restore depth"
    ),
    (Trouble.EQUALIZED, None): (
        "lower the growth itself: skip connections, another normalization, a larger batch; that "
        "all layers turn alike does not undo it"
    ),
    (Trouble.JUMP, None): (
        "draw this operation's weights as the others are, or scale what it hands on"
    ),
    (Trouble.MIXED, None): (
        "look at what differs between these parts: widths, the weights' size, norms"
    ),
    (Trouble.ON_THE_WAY, None): (
        "scale what these operations hand on, or put a norm or a skip connection around them"
    ),
    (Trouble.ORDERED, None): (
        "raise the weights' variance to the critical line (`depthscale phase`), or add skip "
        "connections"
    ),
    (Trouble.ONE_DIRECTION, None): (
        "normalize over the batch, add skip connections, or use fewer layers without an activation"
    ),
    (Trouble.DROWNED, None): (
        "multiply the smaller term, or draw it as large: embeddings divided by sqrt(d) "
        "multiply by sqrt(d), as Vaswani et al. 2017 do (section 3.4)"
    ),
}


def advice_on(trouble: Trouble, hazard: Hazard | None = None) -> str:
    """What to try against a trouble at an operation that does this."""
    return ADVICE.get((trouble, hazard)) or ADVICE[trouble, None]
