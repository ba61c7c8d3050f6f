"""The flags that raise limits: of the pixels of an image, and of the bytes of a server's reply."""

import io

from PIL import Image

from tests.programs import in_fork, parsed


def _decoded(most):
    """Shape of an image of 10 x 10 pixels under a limit, or the reason of its refusal."""
    parsed("pipelines.predict", [[f"--max_pixels={most}"]])
    from pipelines.common import largest
    from tailor_tf.data.decoding import decode_content
    from tailor_tf.data.errors import DataError
    from tailor_tf.data.square import Square

    largest.apply()
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "PNG")
    try:
        return decode_content(file.getvalue(), Square(8)).shape
    except DataError as error:
        return str(error)


def test_largest_image():
    assert in_fork(_decoded, 100) == (8, 8, 3)
    assert in_fork(_decoded, 99) == (
        "Received an image of 10x10 pixels; expected at most --max_pixels=99, scaled or not."
    )


def _asked():
    """Arguments with which pipelines.predict makes each client of a server."""
    from export.serving import client
    from pipelines import predict

    client.grpc = client.rest = lambda *arguments: arguments
    found = []
    for kind in ("grpc", "rest"):
        parsed("pipelines.predict", [[f"--{kind}=a:1", "--model=m", "--max_reply=3"]])
        found.append(predict.classifier())
    return found


def test_largest_reply():
    assert in_fork(_asked) == [("a:1", "m", None, 30.0, 3 * 2**20)] * 2


def _of_run(folder):
    parsed("pipelines.export", [[f"--workdir={folder}"]])
    from pipelines.common import flag_files, images
    from tailor_tf.records.workdir import Workdir

    flag_files.read(Workdir(folder), images.SOURCE_NAMES)
    return flag_files.FLAGS.max_pixels


def test_a_run_hands_its_largest_image_to_its_export(tmp_path):
    (tmp_path / "flags.txt").write_text("--max_pixels=123\n--max_reply=9\n")
    assert in_fork(_of_run, str(tmp_path)) == 123
