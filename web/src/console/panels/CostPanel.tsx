// What this month has come to so far.

import { amount, count, dayOf, dollars } from "../format.js";
import type { CostAnswer } from "../generated/answers.js";
import { Figures, Panel } from "../Panel.js";

export function CostPanel({ cost }: { readonly cost: CostAnswer | undefined }) {
  return (
    <Panel title="Cost" busy={!cost}>
      <Figures
        of={[{ label: cost ? `Since ${dayOf(cost.since_ms)}` : "This month", value: cost && dollars(cost.usd) }]}
      />
      {cost && <Items of={cost} />}
    </Panel>
  );
}

function Items({ of: { items, not_counted, region, priced_on } }: { readonly of: CostAnswer }) {
  return (
    <>
      <div className="scroll" tabIndex={0} role="region" aria-label="Cost by service">
        <table>
          <thead>
            <tr>
              <th scope="col">For</th>
              <th scope="col" className="number">
                Used
              </th>
              <th scope="col" className="number">
                USD
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map(({ service, what, quantity, usd }) => (
              <tr key={`${service} ${what}`}>
                <th scope="row">
                  {service} <span className="quiet">{what}</span>
                </th>
                <td className="number">{quantity >= 100 ? count(quantity) : amount(quantity)}</td>
                <td className="number">{dollars(usd)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <details className="quiet small">
        <summary>
          List prices of {region}, {priced_on}, without free tiers. Not counted: {not_counted.length}
        </summary>
        <ul>
          {not_counted.map((what) => (
            <li key={what}>{what}</li>
          ))}
        </ul>
      </details>
    </>
  );
}
