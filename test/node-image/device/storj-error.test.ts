import { describe, expect, it } from 'vitest';
import { StorjError, translated } from '#node/device/storj-error.ts';
import { systemRuntime } from '#node/log/runtime.ts';

describe('an error of the library', () => {
  it('is its own where its own limit is over, and the caller’s where the caller gave up', async () => {
    const limit = systemRuntime.deadline(1);
    await new Promise((resolve) => limit.addEventListener('abort', resolve));
    expect(translated(limit.reason)).toBeInstanceOf(StorjError);
    expect(translated(limit.reason)).toMatchObject({ code: 'Unavailable', cause: limit.reason });
    const { reason } = AbortSignal.abort();
    expect(translated(reason)).toBe(reason);
  });
});
