import { LabIcon } from "@jupyterlab/ui-components";

/** A ship that carries a label. */
const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M2.5 15.5h19l-2.3 4.2a2.5 2.5 0 0 1-2.2 1.3H7a2.5 2.5 0 0 1-2.2-1.3z"/>
    <path d="M11 3v11H4.2z"/>
    <path d="M13 6.2h4.6l2.9 3.9-2.9 3.9H13zm4 2.9a1 1 0 1 0 0 2 1 1 0 0 0 0-2z" fill-rule="evenodd"/>
  </g>
</svg>`;

export const icon = new LabIcon({ name: "modelship-lab:icon", svgstr });
