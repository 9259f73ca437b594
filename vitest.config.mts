import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["js/*/tests/**/*.test.{ts,tsx}"],
    environment: "jsdom",
    setupFiles: ["js/components/tests/setup.ts"],
    testTimeout: 10_000,
    // Two cores are what a small machine and CI have.
    maxWorkers: 2,
  },
});
