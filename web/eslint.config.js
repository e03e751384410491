import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules"] },
  js.configs.recommended,
  ...tseslint.configs.strict,
  hooks.configs.flat["recommended-latest"],
  {
    rules: {
      // It does not know ||= and ??=; the compiler finds what is unused.
      "no-unused-private-class-members": "off",
      // What people and models write reaches the document through React alone.
      "no-restricted-syntax": [
        "error",
        { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: "No HTML from strings." },
        { selector: "MemberExpression[property.name=/^(inner|outer)HTML$/]", message: "No HTML from strings." },
      ],
    },
  },
);
