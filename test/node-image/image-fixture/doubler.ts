import { parentPort, workerData } from 'node:worker_threads';

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread, no window
parentPort?.postMessage((workerData as number) * 2);
