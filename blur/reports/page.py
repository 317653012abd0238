"""The results of an evaluation as one HTML page, which needs no script, no font and no picture file."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from importlib import resources

import matplotlib
from matplotlib.figure import Figure

from blur import __version__
from blur.core.rule import UpdateRule
from blur.evaluation.plan import EvaluationPlan, Learner
from blur.evaluation.records import EvaluationRecord, by_condition, ranked
from blur.files.genomes import parameter_count
from blur.reports.figures import advantage, colours, draw_curves, is_dashed
from blur.reports.genome_pictures import genome_pictures
from blur.reports.html import Markup, element, heading_row, scrolling_table
from blur.reports.shading import DIVERGING, SEQUENTIAL, shade
from blur.reports.summary import (
    HEADING,
    MARKS,
    describe_tuning,
    difference,
    explanation,
    mean_score,
    score,
    summary_rows,
)
from blur.support.errors import short
from blur.support.figures import GREY

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page's permissions in a browser. They are narrow, because names on the page come from strangers' files."""

Cell = Callable[[EvaluationRecord], Markup]


def html_report(
    records: Sequence[EvaluationRecord], plans: Sequence[EvaluationPlan], learners: Sequence[Learner] = ()
) -> str:
    """The page: a summary, heat maps of several conditions, every condition's table and curves, genomes, settings."""
    names = dict.fromkeys(record.learner for record in records if record.kind == "learner")
    title = f"{', '.join(names)} against tuned baselines"
    groups = list(by_condition(records))
    body = [
        element("h1", title),
        element("p", _what_was_done(records), class_="lead"),
        _section("Summary", _summary(records), element("p", explanation(records), class_="note")),
        *([_heat_maps(groups)] if len(groups) > 1 else []),
        _section("Conditions", *(_condition(group, f"condition-{n}") for n, group in enumerate(groups, 1))),
        *([_section("Genomes", *map(_learner, learners))] if learners else []),
        _section("Settings", *map(_plan, plans)),
        element("footer", f"Made by blur {__version__}. The numbers are also in results.json and .csv."),
    ]
    style = resources.files("blur.reports").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", **{"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("title", title),
        element("style", Markup(style)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", element("main", *body)), lang="en") + "\n"


def _what_was_done(records: Sequence[EvaluationRecord]) -> str:
    """The comparison in two sentences."""
    first = records[0]
    baselines = len({record.learner for record in records if record.kind == "baseline"})
    return (
        f"Each genome and {baselines} baselines learned the same {first.episodes} test episodes from the same keys and "
        "were scored on examples that no support contains. The baselines' hyper-parameters were tuned for every "
        "condition on validation episodes. Differences are paired by episode and have 95 % bootstrap intervals."
    )


def _section(title: str, *children: Markup) -> Markup:
    return element("section", element("h2", title), *children)


def _summary(records: Sequence[EvaluationRecord]) -> Markup:
    """The table of all conditions; each row leads to its condition."""
    numbers = {group[0].condition: number for number, group in enumerate(by_condition(records), 1)}
    learners = [record for record in records if record.kind == "learner"]
    rows = []
    for record, (test, *cells, verdict) in zip(learners, summary_rows(records), strict=True):
        link = element("a", test, href=f"#condition-{numbers[record.condition]}")
        numeric = [element("td", cell) for cell in cells]
        row = element("th", link, scope="row"), *numeric, _verdict(record, verdict)
        rows.append(element("tr", *row, class_=record.verdict))
    return scrolling_table(heading_row(*HEADING), *rows, class_="verdicts")


def _verdict(record: EvaluationRecord, text: str) -> Markup:
    return element("td", element("span", text, class_=f"verdict {record.verdict}"))


def _heat_maps(groups: Sequence[Sequence[EvaluationRecord]]) -> Markup:
    """Conditions × learners: scores, and their differences to the best baseline."""
    advantages = [abs(advantage(record)) for group in groups for record in group]
    limit = max((value for value in advantages if math.isfinite(value)), default=0.0) or 1.0

    def scored(record: EvaluationRecord) -> Markup:
        value = math.nan if record.accuracy_mean is None else record.accuracy_mean
        return element("td", mean_score(record), style=shade(value, SEQUENTIAL))

    def compared(record: EvaluationRecord) -> Markup:
        text = difference(record).split(" [")[0] + f" {MARKS[record.verdict]}"
        best = record.learner == record.best_baseline
        return element("td", "best" if best else text, style=shade(advantage(record) / limit, DIVERGING))

    note = "▲ better and ▼ worse than the best baseline by a 95 % interval. Orange is better, purple is worse"
    note += "; of losses, the logarithm of their quotient is coloured." if _metrics(groups) != {"accuracy"} else "."
    return _section(
        "Heat maps",
        _heat_map("Score", groups, scored),
        _heat_map("Difference to the best baseline", groups, compared),
        element("p", note, class_="note"),
    )


def _metrics(groups: Sequence[Sequence[EvaluationRecord]]) -> set[str]:
    return {group[0].metric for group in groups}


def _heat_map(caption: str, groups: Sequence[Sequence[EvaluationRecord]], cell: Cell) -> Markup:
    names = list(dict.fromkeys(record.learner for group in groups for record in group))
    rows = []
    for group in groups:
        there = {record.learner: cell(record) for record in group}
        cells = [there.get(name, element("td", "–")) for name in names]
        rows.append(element("tr", element("th", str(group[0].condition), scope="row"), *cells))
    return scrolling_table(heading_row("", *names), *rows, caption=caption, class_="heat")


def _condition(records: Sequence[EvaluationRecord], anchor: str) -> Markup:
    """The learners of one condition, best first, beside their curves. The table is the legend of the curves."""
    order = ranked(records)
    colour_of = {record.learner: colour for record, colour in zip(records, colours(records), strict=True)}
    results = [_result(record, colour_of[record.learner]) for record in order]
    metric = records[0].metric
    picture = element("img", src=_curves(records), alt=f"Learning curves: {metric} after each inner step")
    caption = f"{metric.capitalize()} on held-out examples after each inner step, with 95 % intervals"
    curves = element("figure", picture, element("figcaption", caption), class_="curves")
    details = scrolling_table(heading_row("", "parameters", "µs/step", "tuned to"), *map(_details, order))
    return element(
        "article",
        element("h3", str(records[0].condition)),
        element("div", curves, scrolling_table(heading_row("", metric, "difference", ""), *results), class_="sides"),
        element("details", element("summary", "Costs and tuned hyper-parameters"), details),
        id=anchor,
    )


def _result(record: EvaluationRecord, colour: str) -> Markup:
    swatch = element("span", class_="swatch", style=f"border-top: {_stroke(record)} {colour}")
    best = record.learner == record.best_baseline
    return element(
        "tr",
        element("th", swatch, record.learner, scope="row"),
        element("td", score(record)),
        element("td", "best baseline" if best else difference(record)),
        element("td") if best else _verdict(record, MARKS[record.verdict]),
        class_=record.kind,
    )


def _stroke(record: EvaluationRecord) -> str:
    return "4px solid" if record.kind == "learner" else "2px dashed" if is_dashed(record) else "2px solid"


def _details(record: EvaluationRecord) -> Markup:
    return element(
        "tr",
        element("th", record.learner, scope="row"),
        element("td", "" if record.parameters is None else f"{record.parameters:,}", class_="number"),
        element("td", f"{1e6 * record.seconds_per_step:,.0f}", class_="number"),
        element("td", "" if record.tuning is None else describe_tuning(record.tuning)),
    )


def _curves(records: Sequence[EvaluationRecord]) -> str:
    """The learning curves as an SVG in a data address; the size suits a phone."""
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axes = figure.add_subplot()
    draw_curves(axes, records)
    axes.set_xlabel("inner steps", color=GREY)
    image = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "blur"}):
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode()}"


def _learner(learner: Learner) -> Markup:
    rule = type(learner.rule).__name__
    return element(
        "article",
        element("h3", learner.name),
        element("p", f"{rule}, {parameter_count(learner.genome):,} numbers. Colours go from −max to max of each."),
        genome_pictures(learner.genome, learner.rule.genome_symbols()),
        element("details", element("summary", "The rule's settings"), _fields(learner.rule)),
    )


def _plan(plan: EvaluationPlan) -> Markup:
    return element("article", _fields(plan))


def _fields(settings: EvaluationPlan | UpdateRule) -> Markup:
    """A dataclass's fields as a table."""
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    values = {field.name: getattr(settings, field.name) for field in fields}
    rows = [
        element("tr", element("th", name.replace("_", " "), scope="row"), element("td", _in_words(value)))
        for name, value in values.items()
    ]
    return scrolling_table(*rows)


def _in_words(value: object) -> str:
    if value is None or value == ():
        return "as it comes"
    if isinstance(value, tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else short(value, 400)
