"""The entry of SavedModels in the registry of formats."""

from export.format import Family
from export.saved_model import single
from export.saved_model.shared import SharedSavedModel

SAVED_MODEL = Family(
    name="saved_model",
    usage="a SavedModel's folder",
    formats=lambda options: [single.SavedModel()],
    recognises=single.is_saved_model,
    load=single.load_runtime,
    modules=("tensorflow",),
    writer_modules=("tensorflow_serving",),  # for requests and configurations of the server
    has_threads=False,
    shared=SharedSavedModel(),
    describe=single.read_info,
)
