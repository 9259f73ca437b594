"""The APIs of other systems, so that programs written for them work by changing only the base URL."""

from modelship_lab.server.api.dialect import Dialect
from modelship_lab.server.dialects.ai_manager import AI_MANAGER
from modelship_lab.server.dialects.finsight import FINSIGHT

DIALECTS: tuple[Dialect, ...] = (AI_MANAGER, FINSIGHT)
