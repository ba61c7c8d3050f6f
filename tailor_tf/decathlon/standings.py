"""Tables of the domains of a protocol, from run records, and of published results."""

from collections.abc import Mapping, Sequence

from tailor_tf.decathlon import score
from tailor_tf.records.records import PhaseRecord
from tailor_tf.report.tables import amounts
from tailor_tf.support.text import aligned, significant

OURS = "tailor_tf"


def domain_table(
    records: Mapping[str, Mapping[str, PhaseRecord]], tests: Mapping[str, float]
) -> str:
    """Table with one row per finished domain, Markdown.

    Args:
        records: records by method, see `outcome.methods`, by domain.
        tests: known test accuracies by domain, percent.

    Returns:
        Accuracies in percent and costs in millions. Domains of the decathlon with a test accuracy
        also have their points, and the points that one more percentage point would add.
    """
    header = ["domain", "fine-tuning, validation (%)", "validation (%)", "test (%)", "points"]
    header += ["one more % brings", "parameters (M)", "task parameters (M)", "multiply-adds (M)"]
    header += ["universal blocks run", "seconds"]
    rows = []
    for domain, methods in records.items():
        ours, whole = methods["nettailor"], methods.get("finetune")
        reference = f"{100 * whole.accuracy['validation']:.2f}" if whole else "-"
        validation = f"{100 * ours.accuracy['validation']:.2f}"
        scored = domain in tests and domain in score.DOMAINS
        rows.append(
            [
                domain,
                reference,
                validation,
                f"{tests[domain]:.2f}" if domain in tests else "-",
                f"{score.points(domain, tests[domain]):.0f}" if scored else "-",
                f"{score.next_point(domain, tests[domain]):.1f}" if scored else "-",
                *amounts(ours.cost),
                str(ours.cost.universal_blocks),
                f"{ours.seconds:,.0f}",
            ]
        )
    return "\n".join(aligned([header, *rows])) + "\n"


def our_row(
    records: Mapping[str, Mapping[str, PhaseRecord]], tests: Mapping[str, float]
) -> score.Row:
    """This project's row: test accuracies if all domains have one, else validation accuracies."""
    ours = {domain: methods["nettailor"] for domain, methods in records.items()}
    tested = all(domain in tests for domain in ours)
    accuracies = {
        domain: tests[domain] if tested else 100 * record.accuracy["validation"]
        for domain, record in ours.items()
    }
    means = {
        count: sum(record.cost[count] for record in ours.values()) / len(ours)
        for count in ("parameters", "multiply_adds")
    }
    return score.Row(f"{OURS}, {'test' if tested else 'validation'} images", accuracies, **means)


def decathlon_table(rows: Sequence[score.Row]) -> str:
    """Table of results on the decathlon, one row per method, Markdown.

    Returns:
        Accuracy by domain and their mean in percent; the score, in brackets if domains are missing,
        which get no points; mean parameters and multiply-adds of a task in millions.
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
