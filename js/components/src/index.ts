export * from "./comparison/Comparison";
export * from "./deployment/DeploymentView";
export * from "./labeler/Labeler";
export * from "./panel/LabPanel";
export * from "./runs/RunChart";
export * from "./runs/RunList";
export * from "./runs/RunTable";
export * from "./samples/Samples";
