"""What a verb returned, as words: a title, facts and tables, for a shell and a notebook alike."""

# Importing a module of things teaches `describe` their kinds.
from modelship_lab.commands.description import access as access
from modelship_lab.commands.description import comparison as comparison
from modelship_lab.commands.description import data_files as data_files
from modelship_lab.commands.description import exchange as exchange
from modelship_lab.commands.description import jobs as jobs
from modelship_lab.commands.description import lab as lab
from modelship_lab.commands.description import labeling as labeling
from modelship_lab.commands.description import model_help as model_help
from modelship_lab.commands.description import models as models
from modelship_lab.commands.description import projects as projects
from modelship_lab.commands.description import records as records
from modelship_lab.commands.description import sweeps as sweeps
from modelship_lab.commands.description.runs import WORST_ERRORS
from modelship_lab.commands.description.words import (
    Description,
    Grid,
    can_describe,
    describe,
    duration,
    frame_grid,
    moment,
    moved,
    number,
    preview,
    said,
)

__all__ = [
    "WORST_ERRORS",
    "Description",
    "Grid",
    "can_describe",
    "describe",
    "duration",
    "frame_grid",
    "moment",
    "moved",
    "number",
    "preview",
    "said",
]
