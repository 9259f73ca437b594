import { lexer, type Token, type Tokens } from "marked";
import { createElement, Fragment, useMemo, type ReactNode } from "react";

/** Only these may be opened from a text that somebody else wrote. */
const HARMLESS = /^(https?:|mailto:)/i;

/**
 * A text in Markdown. It becomes elements, never HTML: tags in it are shown as they are written. Pictures are shown
 * as links, because fetching one would tell its server who reads the text.
 */
export function Markdown({ text }: { text: string }): ReactNode {
  const tokens = useMemo(() => lexer(text), [text]);
  return <div className="mls-markdown">{elements(tokens)}</div>;
}

function elements(tokens: readonly Token[] | undefined): ReactNode {
  return tokens?.map((token, index) => <Fragment key={index}>{element(token)}</Fragment>);
}

function element(token: Token): ReactNode {
  const inner = (): ReactNode => ("tokens" in token && token.tokens ? elements(token.tokens) : written(token));
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      // The screen has headings of its own above it.
      return createElement(`h${Math.min(6, (token as Tokens.Heading).depth + 2)}`, null, inner());
    case "paragraph":
      return <p>{inner()}</p>;
    case "strong":
      return <strong>{inner()}</strong>;
    case "em":
      return <em>{inner()}</em>;
    case "del":
      return <del>{inner()}</del>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text}</code>;
    case "code":
      return (
        <pre>
          <code>{(token as Tokens.Code).text}</code>
        </pre>
      );
    case "blockquote":
      return <blockquote>{inner()}</blockquote>;
    case "br":
      return <br />;
    case "hr":
      return <hr />;
    case "list":
      return list(token as Tokens.List);
    case "checkbox":
      return (token as Tokens.Checkbox).checked ? "☑ " : "☐ ";
    case "table":
      return table(token as Tokens.Table);
    case "link":
    case "image":
      return link(token as Tokens.Link | Tokens.Image, inner());
    default:
      return inner();
  }
}

/** A token that has no others in it, as text. */
function written(token: Token): string {
  if (token.type === "html" || !("text" in token) || typeof token.text !== "string") return token.raw;
  return token.text.replace(/&(#\d+|#x[\da-f]+|[a-z]\w*);/gi, character);
}

/** The character that a reference like `&amp;` stands for, as the browser knows it. */
function character(reference: string): string {
  return new DOMParser().parseFromString(reference, "text/html").body.textContent;
}

function list({ ordered, start, items }: Tokens.List): ReactNode {
  const rows = items.map((item, index) => <li key={index}>{elements(item.tokens)}</li>);
  return ordered ? <ol start={start === "" ? 1 : start}>{rows}</ol> : <ul>{rows}</ul>;
}

function table({ header, rows }: Tokens.Table): ReactNode {
  return (
    <table className="mls-table">
      <thead>
        <tr>
          {header.map((cell, index) => (
            <th key={index}>{elements(cell.tokens)}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, index) => (
          <tr key={index}>
            {row.map((cell, place) => (
              <td key={place}>{elements(cell.tokens)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function link({ href, type, raw }: Tokens.Link | Tokens.Image, inner: ReactNode): ReactNode {
  if (!HARMLESS.test(href)) return raw;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {type === "image" && "🖼 "}
      {inner}
    </a>
  );
}
