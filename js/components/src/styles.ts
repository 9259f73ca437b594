import comparison from "./comparison/comparison.css";
import runTable from "./runs/run_table.css";
import screens from "./style.css";

/** The looks of all screens as one text; whoever mounts one puts it into the page. */
export const styles = [screens, runTable, comparison].join("\n");
