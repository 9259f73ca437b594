"""The options of the recipes, as records whose fields say what they mean."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from modelship_lab.records.base import Record

Accelerator = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32", "bf16", "16"]
Schedule = Literal["cosine", "linear", "constant"]
LearningRate = Annotated[float, Field(gt=0, le=10)] | Literal["auto"]


class RecipeOptions(Record):
    """What every recipe can be told."""

    holdout: float = Field(
        default=0.15,
        gt=0,
        le=0.4,
        description="Share of the labeled rows kept for the final test.",
    )
    validation: float | None = Field(
        default=None,
        gt=0,
        le=0.4,
        description="Share that chooses the best epoch and the calibration; default: as many as for the test.",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Split, weights and order follow from it.")
    folds: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Cross-validation: 2 or more models beside the run's own, each tested on another part of the rows.",
    )
    calibration: bool = Field(
        default=True,
        description="Whether probabilities are corrected on the validation rows, so that they are as high as the "
        "model is often right.",
    )

    @property
    def held_out(self) -> tuple[float, float]:
        """Shares of the rows for validation and for the test."""
        return self.holdout if self.validation is None else self.validation, self.holdout


class TrainingOptions(RecipeOptions):
    """What every recipe that trains a network can be told."""

    epochs: int | None = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Most passes over the training rows.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Rows in one step; default: 32 to 256 (text-linear: 1024), growing with the data.",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Batches whose gradients are added up to one step: for batches that memory has no room for.",
    )
    learning_rate: LearningRate = Field(
        default=2e-3,
        description="Highest step size of AdamW; auto: found by a short trial of ever larger ones.",
    )
    schedule: Schedule = Field(
        default="cosine", description="How the learning rate falls after it has risen to its highest."
    )
    warmup: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the steps in which the learning rate rises; default: a tenth, 200 steps at most.",
    )
    weight_decay: float = Field(default=0.01, ge=0, le=10, description="Decoupled weight decay of AdamW.")
    patience: int | None = Field(
        default=5,
        ge=0,
        le=10_000,
        description="Epochs without a better validation loss before it stops; 0: never stop early.",
    )
    class_weights: Literal["balanced", "sampled", "none"] = Field(
        default="balanced",
        description="Whether rare classes count as much as common ones: by their weight in the loss, or because "
        "their rows are drawn more often.",
    )
    time_budget_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds of training after which it ends with the best weights; the learning rate falls in time.",
    )
    checkpoint_every_s: float = Field(
        default=30.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds between two checkpoints at least; within an epoch there is one when it takes longer.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Whether activations are computed again instead of kept, where the network can: less memory, more time.",
    )
    accelerator: Accelerator = Field(
        default="auto", description="Where to compute; auto: a GPU if there is one."
    )
    precision: Precision = Field(
        default="auto",
        description="Of the arithmetic; auto: bf16 on a GPU that is made for it, else 32 bits; 16: "
        "mixed precision on every GPU, with fp16 where it is not made for bf16.",
    )


class TextLinearOptions(TrainingOptions):
    """Options of text-linear."""

    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Most passes over the training rows; default: 15, of few rows as many as make 500 steps.",
    )
    learning_rate: LearningRate = Field(default=0.05, description="Highest step size of AdamW.")
    weight_decay: float = Field(default=0.05, ge=0, le=10, description="Decoupled weight decay of AdamW.")
    patience: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Epochs without a better validation loss before it stops; 0: never stop early; default: a fifth of "
        "the epochs, 3 at least.",
    )
    max_ngram: int = Field(
        default=2, ge=1, le=5, description="Longest word sequence that counts as one token."
    )
    max_length: int = Field(default=1024, ge=1, le=65_536, description="Tokens of a text that are read.")
    buckets: int = Field(
        default=2**18, ge=2, le=2**24, description="Size of the hash table; fewer make the model smaller."
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Numbers for each token before the output layer; default: one score for each class up to "
        "64 classes, and beyond that 64 numbers.",
    )


class TextEncoderOptions(TrainingOptions):
    """Options of text-encoder."""

    encoder: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2",
        min_length=1,
        max_length=500,
        description="A name of the Hugging Face hub, or a folder that `save_pretrained` has written.",
    )
    mode: Literal["probe", "frozen", "full"] = Field(
        default="probe",
        description="What is trained. probe: a linear model on the encoder's vectors, which are computed once; "
        "frozen: also which of a text's tokens count; full: everything.",
    )
    max_length: int = Field(
        default=256, ge=4, le=8192, description="Tokens of a text that are read; longer texts are cut there."
    )
    epochs: int = Field(default=60, ge=1, le=10_000, description="Most passes over the training rows.")
    learning_rate: LearningRate = Field(
        default=3e-3,
        description="Highest step size of AdamW, default: 0.003 for a probe, else 0.01; the encoder's own weights take "
        "1/300 of it.",
    )
    weight_decay: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Decoupled weight decay of AdamW; default: 1 for a probe, else 0.05.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_mode(cls, given: Any) -> Any:
        """A probe has few rows for many standardized numbers; what is trained as a whole must not shrink as fast."""
        if isinstance(given, Mapping) and given.get("mode") in ("frozen", "full"):
            return {"learning_rate": 1e-2, "weight_decay": 0.05, **given}
        return given


class ImageOptions(TrainingOptions):
    """What every recipe for images can be told."""

    image_size: int | None = Field(
        default=None,
        ge=4,
        le=1024,
        description="Pixels of the longer side; default: that of the images, within the recipe's bounds.",
    )
    augmentation: Literal["none", "light", "flip"] = Field(
        default="light",
        description="Random changes of training images. light: small shifts, turns and zooms; flip: mirrored, too.",
    )
    crop: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Smallest share of a training image that is cut out and enlarged; 1: none is.",
    )
    color: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Most change of brightness, contrast and saturation of training images, as a share.",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        le=4,
        description="How much training images are blended with one another: 0 not at all, 0.2 usually.",
    )


class ImageCnnOptions(ImageOptions):
    """Options of image-cnn."""

    weight_decay: float = Field(default=0.05, ge=0, le=10, description="Decoupled weight decay of AdamW.")
    width: int = Field(
        default=16, ge=4, le=512, description="Channels of the first layer; later ones have more."
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Share of features left out in a training step."
    )


class ImageBackboneOptions(ImageOptions):
    """Options of image-backbone."""

    unfreeze: Literal["none", "gradual", "all"] = Field(
        default="none",
        description="What is trained besides the last layer. none: nothing; features are computed once, which is fast "
        "and enough for few images; gradual: after a quarter of the epochs more and more of the backbone, from the "
        "last stage to the first; all: everything from the start.",
    )
    learning_rate: float = Field(
        default=1e-3,
        gt=0,
        le=10,
        description="Highest step size of AdamW; default: 0.001 for the last layer alone, else 0.004.",
    )
    backbone_rate: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the learning rate that the backbone is trained with.",
    )
    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of features left out in a training step."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_what_is_trained(cls, given: Any) -> Any:
        """The last layer alone has many standardized numbers for few rows: in large steps it learns them by heart."""
        if isinstance(given, Mapping) and given.get("unfreeze") in ("gradual", "all"):
            return {"learning_rate": 4e-3, **given}
        return given


class TabularMlpOptions(TrainingOptions):
    """Options of tabular-mlp."""

    epochs: int = Field(default=60, ge=1, le=10_000, description="Most passes over the training rows.")
    learning_rate: LearningRate = Field(default=3e-3, description="Highest step size of AdamW.")
    patience: int = Field(
        default=10,
        ge=0,
        le=10_000,
        description="Epochs without a better validation loss before it stops; 0: never stop early.",
    )
    width: int = Field(default=128, ge=4, le=4096, description="Units of each hidden layer.")
    layers: int = Field(default=2, ge=0, le=16, description="Hidden layers; 0 makes it a linear model.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of units left out in a training step.")
    bins: int = Field(
        default=16,
        ge=0,
        le=256,
        description="Quantiles in which each number is told besides its value, so that thresholds are easy to learn.",
    )
    members: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Networks that share their hidden layers and answer together; more are steadier and slower.",
    )


class TabularSklearnOptions(RecipeOptions):
    """Options of tabular-sklearn."""

    estimator: Literal["gradient-boosting", "random-forest", "extra-trees", "linear"] = Field(
        default="gradient-boosting",
        description="Of scikit-learn: histogram-based gradient boosting, forests, or logistic (for numbers: ridge) "
        "regression.",
    )
    iterations: int = Field(
        default=400,
        ge=1,
        le=10_000,
        description="Most rounds of boosting, trees of a forest, or steps of the solver.",
    )
    patience: int = Field(
        default=60,
        ge=0,
        le=10_000,
        description="Iterations without a better validation loss before it stops; 0: never stop early.",
    )
    learning_rate: float = Field(
        default=0.05, gt=0, le=1, description="How much of each round's correction gradient boosting takes."
    )
    leaves: int = Field(default=31, ge=2, le=4096, description="Most leaves of a tree of gradient boosting.")
    least_rows: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Rows in a leaf at least; default: 20 for gradient boosting, 1 for forests.",
    )
    penalty: float | None = Field(
        default=None,
        ge=0,
        le=1e6,
        description="Of large weights (L2); default: 0 for gradient boosting, 1 for linear.",
    )
    class_weights: Literal["balanced", "none"] = Field(
        default="none", description="Whether rare classes count as much as common ones."
    )
    time_budget_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds of fitting after which it ends with the best stage.",
    )
