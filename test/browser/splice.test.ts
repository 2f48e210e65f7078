/** Spliced sessions again, in Chromium. */
import '../adapters/splice.test.js';
