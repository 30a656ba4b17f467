/** The part of opossum that the benchmark uses; the package brings no types. */
declare module "opossum" {
  export default class CircuitBreaker<Arguments extends unknown[], Result> {
    constructor(
      action: (...parameters: Arguments) => Promise<Result>,
      options: { timeout: number | false; resetTimeout: number },
    );
    fire(...parameters: Arguments): Promise<Result>;
    fallback(answer: (...parameters: Arguments) => unknown): this;
    readonly closed: boolean;
    open(): void;
    shutdown(): void;
  }
}
