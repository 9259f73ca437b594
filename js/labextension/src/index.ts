import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, WidgetTracker } from "@jupyterlab/apputils";
import { ILauncher } from "@jupyterlab/launcher";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { RunOpener, View } from "@modelship-lab/widgets";
import { icon } from "./icon";
import { drawOutputs } from "./output";
import { ViewWidget } from "./view";

const CATEGORY = "ModelShip Lab";

export const Commands = {
  openPanel: "modelship:open-panel",
  label: "modelship:label",
  samples: "modelship:samples",
  runs: "modelship:runs",
  runTable: "modelship:run-table",
  comparison: "modelship:comparison",
  deployment: "modelship:deployment",
} as const;

/** What a main area tab shows; it is kept in the saved layout, so it has to be plain data. */
interface Tab {
  command: string;
  args: { [name: string]: string | number | number[] };
}

/** The side panel, its commands, and the tabs that they open in the main area. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: "modelship-lab:panel",
  description: "Label, train, ship and watch models: side panel, launcher card and commands.",
  autoStart: true,
  optional: [ICommandPalette, ILauncher, ILayoutRestorer],
  activate(
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
  ): void {
    const { commands, shell } = app;
    const tracker = new WidgetTracker<ViewWidget>({ namespace: "modelship-lab" });
    const tabs = new WeakMap<ViewWidget, Tab>();

    const panel = new ViewWidget("modelship-lab-panel", {
      view: "panel",
      opener: {
        labeler: (projectId, name) => void commands.execute(Commands.label, { projectId, name }),
        samples: (projectId, name) => void commands.execute(Commands.samples, { projectId, name }),
        ...runOpener(app),
        runTable: (project) => void commands.execute(Commands.runTable, { project }),
        deployment: (deploymentId, name) => void commands.execute(Commands.deployment, { deploymentId, name }),
      },
    });
    panel.title.icon = icon;
    panel.title.caption = CATEGORY;
    shell.add(panel, "left", { rank: 610 });
    restorer?.add(panel, panel.id);

    /** Brings the tab with this name to the front, or makes it. */
    const openTab = (name: string, title: string, view: View, tab: Tab): void => {
      const id = `modelship-lab-${name}`;
      let widget = tracker.find((open) => open.id === id) ?? null;
      if (!widget) {
        widget = new ViewWidget(id, view);
        widget.title.label = title;
        widget.title.icon = icon;
        widget.title.closable = true;
        tabs.set(widget, tab);
        shell.add(widget, "main");
        void tracker.add(widget);
      }
      shell.activateById(id);
    };

    commands.addCommand(Commands.openPanel, {
      label: CATEGORY,
      caption: "Projects, runs and deployments of the lab",
      icon,
      execute: () => shell.activateById(panel.id),
    });
    commands.addCommand(Commands.label, {
      label: (args) => `Label ${text(args.name) || "a Project"}`,
      caption: "Label the samples of a project; takes projectId and name",
      icon,
      execute: (args) => {
        const projectId = number(args.projectId);
        if (projectId === null) return shell.activateById(panel.id);
        const name = text(args.name) || `project ${projectId}`;
        const tab = { command: Commands.label, args: { projectId, name } };
        openTab(`label-${projectId}`, name, { view: "labeler", project_id: projectId }, tab);
      },
    });
    commands.addCommand(Commands.samples, {
      label: (args) => `Samples of ${text(args.name) || "a Project"}`,
      caption: "Search, filter and label many samples of a project; takes projectId and name",
      icon,
      execute: (args) => {
        const projectId = number(args.projectId);
        if (projectId === null) return shell.activateById(panel.id);
        const name = text(args.name) || `project ${projectId}`;
        const tab = { command: Commands.samples, args: { projectId, name } };
        const view: View = { view: "samples", project_id: projectId, height: "calc(100vh - 260px)" };
        openTab(`samples-${projectId}`, `Samples of ${name}`, view, tab);
      },
    });
    commands.addCommand(Commands.runs, {
      label: "Show Runs",
      caption: "Show the curves of one run or several; takes runIds",
      icon,
      execute: (args) => {
        const runIds = numbers(args.runIds);
        if (runIds.length === 0) return shell.activateById(panel.id);
        const title = runIds.length === 1 ? `Run ${runIds[0]}` : `Runs ${runIds.join(", ")}`;
        const tab = { command: Commands.runs, args: { runIds } };
        openTab(`runs-${runIds.join("-")}`, title, { view: "run_chart", run_ids: runIds }, tab);
      },
    });
    commands.addCommand(Commands.runTable, {
      label: (args) => (text(args.project) ? `Runs of ${text(args.project)}` : "All Runs"),
      caption: "Filter, sort and compare runs; takes project",
      icon,
      execute: (args) => {
        const project = text(args.project) || null;
        const tab = { command: Commands.runTable, args: { project: project ?? "" } };
        const view: View = { view: "run_table", project, opener: runOpener(app), height: "calc(100vh - 230px)" };
        openTab(`run-table-${project ?? ""}`, project ? `Runs of ${project}` : "All runs", view, tab);
      },
    });
    commands.addCommand(Commands.comparison, {
      label: "Compare Runs",
      caption: "Compare runs: curves, parameters, code; takes runIds",
      icon,
      execute: (args) => {
        const runIds = numbers(args.runIds);
        if (runIds.length === 0) return commands.execute(Commands.runTable);
        const title = runIds.length > 4 ? `${runIds.length} runs compared` : `Runs ${runIds.join(", ")} compared`;
        const tab = { command: Commands.comparison, args: { runIds } };
        openTab(`comparison-${runIds.join("-")}`, title, { view: "comparison", run_ids: runIds, opener: runOpener(app) }, tab);
      },
    });
    commands.addCommand(Commands.deployment, {
      label: (args) => `Watch ${text(args.name) || "a Deployment"}`,
      caption: "Watch a deployment and try it; takes deploymentId and name",
      icon,
      execute: (args) => {
        const deploymentId = number(args.deploymentId);
        if (deploymentId === null) return shell.activateById(panel.id);
        const name = text(args.name) || `deployment ${deploymentId}`;
        const tab = { command: Commands.deployment, args: { deploymentId, name } };
        openTab(`deployment-${deploymentId}`, name, { view: "deployment", deployment_id: deploymentId }, tab);
      },
    });

    palette?.addItem({ command: Commands.openPanel, category: CATEGORY });
    palette?.addItem({ command: Commands.runTable, category: CATEGORY });
    launcher?.add({ command: Commands.openPanel, category: "Other", rank: 1 });

    if (restorer) {
      // The command that made a tab makes it again when the page is loaded anew.
      const reopen = "modelship:restore";
      commands.addCommand(reopen, {
        execute: (args) => commands.execute(text(args.command), args.args as Tab["args"]),
      });
      void restorer.restore(tracker, {
        command: reopen,
        args: (widget) => ({ ...tabs.get(widget) }),
        name: (widget) => widget.id,
      });
    }
  },
};

const outputs: JupyterFrontEndPlugin<void> = {
  id: "modelship-lab:outputs",
  description: "Draws labelers, charts and deployments in notebooks, also without their kernel.",
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (app: JupyterFrontEnd, rendermime: IRenderMimeRegistry) => drawOutputs(rendermime, runOpener(app)),
};

/** Opens runs in tabs of the main area. */
function runOpener(app: JupyterFrontEnd): RunOpener {
  return {
    runs: (runIds) => void app.commands.execute(Commands.runs, { runIds }),
    comparison: (runIds) => void app.commands.execute(Commands.comparison, { runIds }),
  };
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.map(Number).filter(Number.isInteger) : [];
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) ? value : null;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export default [plugin, outputs];
