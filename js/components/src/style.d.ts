/** Stylesheets are bundled as text and put into the page by the widgets' entry point. */
declare module "*.css" {
  const text: string;
  export default text;
}
