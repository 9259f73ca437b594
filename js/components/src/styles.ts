import chart from "./chart/chart.css";
import comparison from "./comparison/comparison.css";
import deployment from "./deployment/deployment.css";
import labeler from "./labeler/labeler.css";
import panel from "./panel/panel.css";
import evaluation from "./runs/evaluation.css";
import runTable from "./runs/run_table.css";
import runs from "./runs/runs.css";
import samples from "./samples/samples.css";
import base from "./style.css";
import sweep from "./sweep/sweep.css";

/** The looks of all screens as one text; whoever mounts one puts it into the page. */
export const styles = [
  base,
  labeler,
  evaluation,
  deployment,
  panel,
  sweep,
  chart,
  runs,
  runTable,
  comparison,
  samples,
].join("\n");
