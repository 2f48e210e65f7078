/// <reference types="vite/client" />

/** What scripts/pages.ts knows when it builds. */
declare const __BUILD__: { readonly versions: Readonly<Record<string, string>>; readonly commit?: string };
