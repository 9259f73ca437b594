export * from "./deployment/DeploymentView";
export * from "./labeler/Labeler";
export * from "./panel/LabPanel";
export * from "./runs/RunChart";
export * from "./runs/RunTable";
