// What the runtime says to people; pino's shape.

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const say = (): void => {};

export const silentLog: Log = { debug: say, info: say, warn: say, error: say };
