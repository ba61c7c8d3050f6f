"""What the programs say to a person's mistakes."""

import re

import pytest

from tests.programs import program


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("tailor", ["--task=digit"], "digit.*digits.*folder:.*tfds:"),
        ("tailor", ["--universal=no.file"], "No universal network 'no.file'; expected imagenet, t"),
        ("tailor", ["--crop_scale=2"], "--crop_scale=2: expected a number above 0 and at most 1"),
        ("tailor", ["--fit=stretch"], "stretch.*crop.*squeeze.*pad"),
        ("tailor", ["--estimator=exact"], "exact.*paper.*reachability"),
        (
            "tailor",
            ["--depth=some"],
            "--depth=some: expected an integer .* or auto or all",
        ),
        ("tailor", ["--depth=17"], "cannot read node 17 of a network of 16 blocks"),
        ("tailor", ["--method=truncate"], "neither its depth nor a budget is given"),
        ("tailor", ["--max_skip=many"], "--max_skip=many: expected an integer .* or dense"),
        ("tailor", ["--prune_blocks=8,x"], "--prune_blocks=8,x: expected an integer"),
        ("tailor", ["--max_params=999"], "The budget is 999 parameters; stem, classifier"),
        ("tailor", ["--student_schedule=linear"], "schedule=linear: .* one of <step.cosine>"),
        ("tailor", ["--strategy=multi_worker"], "multi_worker needs TF_CONFIG"),
        ("tailor", ["--name=../up"], r"'\.\./up' cannot be the name of a task; .*such as up"),
        ("tailor", ["--name=tasks"], "'tasks' cannot be the name of a task"),
        ("tailor", ["teacher"], "Unexpected argument 'teacher'"),
        ("pretrain", ["--backbone=resnet19"], "resnet19.*resnet18"),
        ("tailor", ["--blocks=4"], "efficientnet_lite0 has no setting blocks; it takes image_size"),
        ("pretrain", ["--image_size=33"], "image_size 33; expected a positive multiple of 8"),
        ("report", [], "no_run.*no record of a finished network"),
        ("export", [], "flags.txt does not exist; expected a working directory of pipelines.tail"),
        ("export", ["--formats=onnx,coreml"], "'coreml' is unknown; expected some of saved_model"),
        ("export", ["--task_pack=a"], "Expected one of --workdir and --task_pack"),
        ("predict", ["image.png"], "no classifier; expected one of --artifact, --grpc and --rest"),
        ("predict", ["--artifact=a.onnx"], "Name image files or folders"),
        ("predict", ["--artifact=a.onnx", "README.md"], "There is no artifact a.onnx"),
        ("predict", ["--grpc=localhost:1", "README.md"], "name one with --model"),
        ("decathlon", ["--domains=dtd,cub"], "cub; expected some of imagenet12,.*=decathlon"),
        ("decathlon", ["--domains=dtd", "--flagfiles=no"], "There is no flag file no/dtd.txt"),
        ("decathlon", ["--domains=dtd", "--annotations=no"], "Cannot use no/dtd_train.json"),
        ("decathlon", ["--domains=dtd", "--test_labels=docs"], "holds none of dtd_test.json"),
        (
            "decathlon",
            ["--protocol=imagenet_to_sketch", "--folders=docs"],
            "no folder docs/wikiart with the images of wikiart",
        ),
        ("predict", ["--artifact=a.onnx", "--json", "--csv", "README.md"], "expected one of them"),
        ("predict", ["--grpc=a:1", "--model=b", "--top_k=2", "README.md"], "labels.txt of the exp"),
        (
            "tailor",
            ["--student_batch_size=2000", "--until=student"],
            "of --student_batch_size=2000",
        ),
        ("pretrain", ["--batch_size=2000"], "too few for one batch of --batch_size=2000"),
        ("bundle", ["list"], "There is no bundle at no_bundle; expected a directory with bundle"),
        (
            "bundle",
            ["lst"],
            "Received 'lst'; expected one of create, add, remove, list, verify, export",
        ),
        (
            "tailor",
            ["--method=adapters"],
            "adapters.*nettailor.*finetune.*linear.*residual_adapters",
        ),
    ],
)
def test_mistakes_end_in_one_message(name, flags, message, tmp_path):
    given = {"report": ["--workdirs=no_run"], "predict": [], "bundle": ["--bundle=no_bundle"]}
    workdir = given.get(name, [f"--workdir={tmp_path / 'run'}"])
    status, output = program(name, *workdir, *flags)
    assert status not in (0, 130)
    assert re.search(message, output, re.DOTALL), output
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("Error: ")
    assert not (tmp_path / "run").exists()


def test_a_decathlon_without_annotations_is_refused_before_it_is_trained(tmp_path):
    (tmp_path / "data/visual_domain_decathlon/dtd").mkdir(parents=True)
    flags = [f"--data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'runs'}", "--domains=dtd"]
    status, output = program("decathlon", *flags)
    assert status == 2
    assert output.splitlines()[-1].startswith(f"Error: No annotations in {tmp_path}/data")
    assert not (tmp_path / "runs").exists()
