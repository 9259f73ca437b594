export * from "./labeler/Labeler";
