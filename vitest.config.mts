import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    testTimeout: 10_000,
    // Two cores are what a small machine and CI have.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: "browser",
          include: ["js/{core,components}/tests/**/*.test.{ts,tsx}"],
          environment: "jsdom",
          setupFiles: ["js/components/tests/setup.ts"],
        },
      },
      {
        extends: true,
        test: { name: "sdk", include: ["js/sdk/*/tests/**/*.test.ts"], environment: "node" },
      },
    ],
  },
});
