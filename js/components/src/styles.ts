import chart from "./chart/chart.css";
import comparison from "./comparison/comparison.css";
import runs from "./runs/runs.css";
import runTable from "./runs/run_table.css";
import screens from "./style.css";

/** The looks of all screens as one text; whoever mounts one puts it into the page. */
export const styles = [screens, chart, runs, runTable, comparison].join("\n");
