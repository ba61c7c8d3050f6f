"""Tables over the domains of a protocol, from run records: every domain, and the published rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from tailor_tf.decathlon import score
from tailor_tf.report.tables import aligned, amounts, significant

OURS = "tailor_tf"


def domain_table(
    records: Mapping[str, Mapping[str, Mapping[str, Any]]], tests: Mapping[str, float]
) -> str:
    """A row per finished domain.

    Args:
        records: by domain, its records by method, see `outcome.methods`.
        tests: test accuracies by domain, percent, where they are known.

    Returns:
        Markdown: accuracies in percent; points of the decathlon's score, and what one more
        percentage point of accuracy would add, for its domains with a test accuracy; costs in
        millions.
    """
    header = ["domain", "fine-tuning, validation (%)", "validation (%)", "test (%)", "points"]
    header += ["one more % brings", "parameters (M)", "task parameters (M)", "multiply-adds (M)"]
    header += ["universal blocks run", "seconds"]
    rows = []
    for domain, methods in records.items():
        ours, whole = methods["nettailor"], methods.get("finetune")
        reference = f"{100 * whole['accuracy']['validation']:.2f}" if whole else "-"
        validation = f"{100 * ours['accuracy']['validation']:.2f}"
        scored = domain in tests and domain in score.DOMAINS
        rows.append(
            [
                domain,
                reference,
                validation,
                f"{tests[domain]:.2f}" if domain in tests else "-",
                f"{score.points(domain, tests[domain]):.0f}" if scored else "-",
                f"{score.next_point(domain, tests[domain]):.1f}" if scored else "-",
                *amounts(ours["cost"]),
                str(ours["cost"]["universal_blocks"]),
                f"{ours['seconds']:,.0f}",
            ]
        )
    return "\n".join(aligned([header, *rows])) + "\n"


def our_row(
    records: Mapping[str, Mapping[str, Mapping[str, Any]]], tests: Mapping[str, float]
) -> score.Row:
    """This project's row: on test images where every domain has a test accuracy."""
    ours = {domain: methods["nettailor"] for domain, methods in records.items()}
    tested = all(domain in tests for domain in ours)
    accuracies = {
        domain: tests[domain] if tested else 100 * record["accuracy"]["validation"]
        for domain, record in ours.items()
    }
    means = {
        count: sum(record["cost"][count] for record in ours.values()) / len(ours)
        for count in ("parameters", "multiply_adds")
    }
    return score.Row(f"{OURS}, {'test' if tested else 'validation'} images", accuracies, **means)


def decathlon_table(rows: Sequence[score.Row]) -> str:
    """Results on the decathlon side by side.

    Returns:
        Markdown: accuracy by domain in percent, their mean, the score (of a row that lacks domains
        in brackets: they count nothing), mean parameters and multiply-adds of a task in millions.
    """
    header = ["method", *score.DOMAINS.values(), "mean", "score"]
    header += ["parameters (M)", "multiply-adds (M)"]
    lines = [header]
    for row in rows:
        found = [row.accuracies.get(domain) for domain in score.DOMAINS]
        total = f"{score.score(row.accuracies):.0f}"
        lines.append(
            [
                row.method,
                *("-" if accuracy is None else f"{accuracy:.2f}" for accuracy in found),
                f"{row.mean:.2f}",
                f"({total})" if None in found else total,
                *(
                    "-" if count is None else significant(count / 1e6)
                    for count in (row.parameters, row.multiply_adds)
                ),
            ]
        )
    return "\n".join(aligned(lines)) + "\n"
