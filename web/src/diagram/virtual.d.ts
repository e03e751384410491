declare module "virtual:diagram" {
  /** Where the document is in which diagrams are drawn. */
  const address: string;
  export default address;
}
