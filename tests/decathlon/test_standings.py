"""The decathlon's tables against figures by hand."""

from tailor_tf.decathlon import score, standings
from tailor_tf.network.cost import Cost
from tailor_tf.records.records import PhaseRecord


def _record(validation, parameters, multiply_adds):
    cost = Cost(multiply_adds, parameters, 10_000, 4, 0)
    return PhaseRecord(1234, {"validation": validation}, {}, cost, None, {}, {})


def _methods(validation, parameters, multiply_adds):
    ours = _record(validation, parameters, multiply_adds)
    return {"finetune": _record(0.5, parameters, multiply_adds), "nettailor": ours}


RECORDS = {"svhn": _methods(0.9, 1_000_000, 2e6), "dtd": _methods(0.6, 3_000_000, 6e6)}


def _cells(table, row):
    line = next(line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_per_domain():
    table = standings.domain_table(RECORDS, {"svhn": 96.55})
    # fine-tuning's accuracy is worth 250 points; 97.55: ((6.9 - 2.45) / 6.9)^2 = 0.41593
    assert _cells(table, "svhn")[1:6] == ["50.00", "90.00", "96.55", "250", "165.9"]
    assert _cells(table, "svhn")[6:] == ["1.00", "0.0100", "2.00", "4", "1,234"]
    assert _cells(table, "dtd")[2:6] == ["60.00", "-", "-", "-"]


def test_our_row_is_on_test_images_only_where_all_are_tested():
    row = standings.our_row(RECORDS, {"svhn": 96.55})
    assert row.method.endswith("validation images")
    assert row.accuracies == {"svhn": 90, "dtd": 60}
    assert (row.parameters, row.multiply_adds, row.mean) == (2e6, 4e6, 75)
    row = standings.our_row(RECORDS, {"svhn": 96.55, "dtd": 55.53})
    assert row.method.endswith("test images")
    assert row.accuracies == {"svhn": 96.55, "dtd": 55.53}


def test_published_rows_and_ours_in_one_table():
    ours = standings.our_row(RECORDS, {"svhn": 96.55, "dtd": 55.53})
    table = standings.decathlon_table([*score.PUBLISHED, ours])
    published = _cells(table, "NetTailor, as published")
    assert published[-4:] == ["79.64", "3744", "3.67", "610"]
    assert published[1:3] == ["61.42", "75.07"]
    row = _cells(table, "tailor_tf, test images")
    assert row[-3] == "(500)"  # 250 for each of two domains, eight are missing
    assert row[1] == "-" and "96.55" in row
