"""Thresholds: from where on something is said, and why there."""

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["info", "warn", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warn", "error")


def _at(value: float, unit: str, why: str) -> float:
    return field(default=value, metadata={"unit": unit, "why": why})


@dataclass(frozen=True)
class Thresholds:
    """From where on the rules speak; `dataclasses.fields` gives each one's unit and reason."""

    z_score: float = _at(
        3.0,
        "standard normal deviates",
        "a rate this far from 1 is not chance: 1 in 370 healthy networks",
    )
    warn_change: float = _at(
        100.0,
        "factor of the mean square over the bulk",
        "10 in RMS: no learning rate suits all layers",
    )
    error_change: float = _at(1e6, "factor of the mean square over the bulk", "1,000 in RMS")
    info_change: float = _at(
        2.0, "factor of the mean square over the bulk", "less is no growth, however sure"
    )
    total_change: float = _at(
        1e7,
        "factor of the squared norm, loss to input",
        "3,000 in RMS: enough without a rate to tell why",
    )
    dead_warn: float = _at(
        0.75, "share of a layer's units", "independent units die with probability 2^-batch"
    )
    dead_info: float = _at(
        0.25, "share of a layer's units", "as above; samples that are alike make some units dead"
    )
    saturated_warn: float = _at(0.5, "share of values", "their slope is below 2 % of the largest")
    saturated_info: float = _at(0.25, "share of values", "as above")
    alike_warn: float = _at(
        1e-3,
        "1 - correlation of samples",
        "bfloat16 keeps 8 bits: what tells samples apart is lost first",
    )
    alike_info: float = _at(1e-2, "1 - correlation of samples", "ten times that")
    rank_warn: float = _at(1.5, "directions", "one direction carries nearly all of the batch")
    lost_info: float = _at(0.01, "share of values", "more than 1 in 100 becomes 0 or infinite")
    lost_warn: float = _at(
        0.1, "share of values", "more than 1 in 10, in the type the model itself uses"
    )
    deleted: float = _at(
        -30.0, "log2 of a squared norm's gain", "what float32's rounding leaves of an exact 0"
    )
    cut_error: float = _at(
        0.1, "share of the parameters to be trained", "a tenth of a network that never learns"
    )
    cut_warn: float = _at(
        0.01,
        "share of the parameters to be trained",
        "as above, where no path leads on; less is a scale or an offset",
    )
    dead_branch: float = _at(
        1e6,
        "factor of the mean square below the trunk's",
        "1,000 in RMS of both signal and gradient: such weights get a millionth",
    )
    inert_branch: float = _at(
        1e8, "factor of the mean square, trunk over branch", "10,000 in RMS: the block adds nothing"
    )
    theory_apart: float = _at(0.03, "log of the rate", "batches and inputs are a sample, too")
    imbalance: float = _at(0.1, "log2 per step", "less than 7 % of mean square a step is no cause")
    small_batch: float = _at(
        32,
        "samples",
        "below, ReLU under Batch Norm grows over 4 % faster than over a large batch",
    )
    jump_steps: float = _at(4, "whole steps", "among fewer none can be called odd")
    jump_spreads: float = _at(
        8.0, "spreads of the other steps", "normal steps lie that far off once in 10^15"
    )
    jump_least_spread: float = _at(
        0.1, "log2 of a mean square", "as fine as finite width lets equal steps be"
    )
    input_rms: float = _at(
        30.0, "RMS", "images of 0 to 255 have over 100; a standardized input 1, and rarely 10"
    )
    loss_over_chance: float = _at(
        3.0, "nats over ln(classes)", "logits of RMS 2.4, at the least; of RMS 1 it is 0.5"
    )
    logits_rms: float = _at(5.0, "RMS", "12 nats over chance, or where one class has most of all")
    scrambled_error: float = _at(
        0.5, "share of the layers", "half the network begins anew, whatever it was drawn as"
    )
    targets_over_output: float = _at(30.0, "RMS over the output's RMS", "as of inputs")
    one_hot_entropy: float = _at(
        0.2, "share of the maximum", "scores of RMS 1 leave 0.8 to 0.95, of RMS 8 about 0.2"
    )
    alike_inputs: float = _at(
        0.9, "correlation of samples that come in", "above it they are no different samples"
    )
    alike_outputs: float = _at(
        0.5,
        "correlation of samples that come out",
        "16 samples at 0.85 have an effective rank of 1.4: few directions mean no more than that",
    )

    def severity(self, change: float) -> Severity:
        """How bad a change of that factor over the bulk, or over a segment of it, is."""
        return (
            "error"
            if change >= self.error_change
            else "warn"
            if change >= self.warn_change
            else "info"
        )

    def change_of(self, severity: Severity) -> float:
        """The factor from which on a change has that severity."""
        return {
            "error": self.error_change,
            "warn": self.warn_change,
            "info": self.info_change,
        }[severity]
