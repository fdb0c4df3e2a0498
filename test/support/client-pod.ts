// A client pod of a bucket, and commands in it.
import { kubectl, type Place } from '#infra/demo/farm-steps.ts';

export { startClientPod } from '#infra/demo/client-pod.ts';

export async function inPod(place: Place, name: string, command: readonly string[]): Promise<string> {
  return (await kubectl(place, ['exec', name, '--', ...command])).trim();
}
