"""Predictions in a notebook, and their explanations as pictures: highlighted text, regions of an image, bars."""

from html import escape
from typing import TYPE_CHECKING, Any

from modelship_lab.notebook.markup import BAR, description_html, image_html

if TYPE_CHECKING:
    from modelship_lab.commands.results import Predicted, Predictions
    from modelship_lab.records.serving import Attribution

_FOR, _AGAINST = "27,127,92", "192,57,43"


def predicted_html(predicted: "Predicted") -> str:
    from modelship_lab.commands.description import said

    prediction = predicted.prediction
    # Of a number there are none.
    shares = zip(predicted.classes, prediction.probabilities, strict=False)
    ranked = sorted(shares, key=lambda pair: -pair[1])
    rows = "".join(
        f"<tr style='background:none'><td style='text-align:left;padding:1px 12px 1px 0'>{escape(name)}</td>"
        f"<td style='text-align:left;padding:1px 8px 1px 0;width:200px'>"
        f"<span style='{BAR};width:{max(share * 200, 1):.0f}px'></span></td>"
        f"<td style='text-align:right;padding:1px 0'>{share:.2%}</td></tr>"
        for name, share in ranked[:10]
    )
    origin = " · ".join(
        part
        for part in (predicted.deployment, prediction.model_version, f"{prediction.response_time_ms:.1f} ms")
        if part
    )
    explained = explanation_html(prediction.explanation, predicted.input) if prediction.explanation else ""
    return (
        f"<div><div style='font-weight:600;margin:2px 0 4px'>{escape(said(prediction))}"
        f" <span style='opacity:.6;font-weight:400'>{escape(origin)}</span></div>"
        f"<table style='margin:0'>{rows}</table>{explained}</div>"
    )


def predictions_html(predictions: "Predictions") -> str:
    from modelship_lab.commands.description import describe

    explained = [
        explanation_html(one.prediction.explanation, one.input)
        for one in predictions
        if one.prediction.explanation is not None
    ]
    return description_html(describe(predictions)) + "".join(explained)


def explanation_html(attribution: "Attribution", asked: Any) -> str:
    """An explanation as a picture of its kind: highlighted text, regions of an image, bars of features."""
    if isinstance(asked, str):
        return highlighted(attribution, asked)
    from modelship_lab.notebook import pictures

    if isinstance(asked, (bytes, bytearray)):
        figure = pictures.regions(attribution, bytes(asked))
    else:
        figure = pictures.bars(attribution)
    return image_html(pictures.png(figure), f"What moved the probability of {attribution.label}")


def highlighted(attribution: "Attribution", text: str) -> str:
    """The text with each token on a green ground where it speaks for the class, red against it."""
    from modelship_lab.commands.description import moved

    strongest = max((abs(value) for value in attribution.values), default=0.0) or 1.0
    pieces = []
    for gap, token, value in _placed(attribution, text):
        color = _FOR if value > 0 else _AGAINST
        pieces.append(
            f"{escape(gap)}<span title='{value:+.4f}' style='background:rgba({color},{0.75 * abs(value) / strongest:.2f});"
            f"border-radius:3px;padding:1px 2px'>{escape(token)}</span>"
        )
    return (
        f"<div style='margin-top:6px;line-height:1.9;max-width:60em;white-space:pre-wrap'>{''.join(pieces)}</div>"
        f"<div style='opacity:.7;font-size:90%'>What moved {escape(moved(attribution))}: green for it, red against it "
        f"({escape(attribution.method)}).</div>"
    )


def _placed(attribution: "Attribution", text: str) -> list[tuple[str, str, float]]:
    """Each token as it stands in the text, with what stands before it and its value."""
    lowered = text.lower()
    if len(lowered) != len(text):
        # In a few scripts lowering changes the length, and places no longer agree.
        lowered = text
    place = 0
    placed = []
    for part, value in zip(attribution.parts, attribution.values, strict=True):
        found = lowered.find(part.lower(), place)
        if found < 0:
            placed.append((" ", part, value))
        else:
            placed.append((text[place:found], text[found : found + len(part)], value))
            place = found + len(part)
    return placed
