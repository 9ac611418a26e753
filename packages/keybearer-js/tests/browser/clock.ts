/** A script that puts the device's clock `shift` milliseconds off; it keeps going. */
export const setClock = (shift: number): string => `
  window.RealDate ??= Date;
  globalThis.Date = class extends window.RealDate {
    constructor(...given) {
      super(...(given.length > 0 ? given : [window.RealDate.now() + ${shift}]));
    }
    static now() {
      return window.RealDate.now() + ${shift};
    }
  };
`;
