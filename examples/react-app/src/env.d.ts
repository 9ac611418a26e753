/** As far as the build puts it in (vite.config.ts). */
declare const process: {
  readonly env: {
    readonly REACT_APP_AUTH_API_KEY: string;
    readonly REACT_APP_AUTH_URL: string;
    readonly REACT_APP_API_URL: string;
  };
};
