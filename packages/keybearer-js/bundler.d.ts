/** What a user's bundler puts into the source. Written out in full there, each stays as it is in dist/. */
declare const process: {
  readonly env: { readonly NODE_ENV?: string; readonly REACT_APP_AUTH_API_KEY?: string };
};
