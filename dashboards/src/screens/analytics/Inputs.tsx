// The inputs of one indicator with the cases behind them, asked for when it is opened, at the tick shown then.

import { For, Show, createResource } from 'solid-js';
import { type Input, inputsOf } from '../../model/explain';
import { clock } from '../../model/time';
import { num } from '../shared/format';
import type { Analytics } from './state';

/** Most ids shown of one input. */
const IDS_SHOWN = 12;

/** Null: this engine does not explain, or no longer holds that tick. */
async function ask(address: string, indicator: string): Promise<Input[] | null> {
  const answer = await fetch(address, { signal: AbortSignal.timeout(20_000) });
  return answer.ok ? inputsOf(await answer.json(), indicator) : null;
}

export function Inputs(props: { analytics: Analytics; scheme: string; unit: string; period: string; indicator: string }) {
  const { t, frame } = props.analytics;
  // The tick is that of the opening: an explanation that changed under the reader's eyes would explain nothing.
  const tick = frame()?.tick ?? 0;
  const address = () => `/api/v1/explain/scores/${[props.scheme, props.unit, props.period].map(encodeURIComponent).join('/')}?to=${tick}`;
  const [said] = createResource(address, async (from) => ({ inputs: await ask(from, props.indicator).catch(() => null) }));
  return (
    <div class="inputs" data-testid="inputs">
      <Show when={said()} fallback={<p>{t('loading')}</p>}>
        {(answer) => (
          <Show when={answer().inputs} fallback={<p>{t('noExplain')}</p>}>
            {(inputs) => (
              <For each={inputs()}>
                {(input) => (
                  <p>
                    <code>{input.name}</code> = <b>{num(input.value)}</b>
                    <Show when={input.total !== null}>
                      {' · '}{t('casesOf', { n: num(input.total) })} {input.cases.slice(0, IDS_SHOWN).join(t('listComma'))}{input.cases.length > IDS_SHOWN ? ' …' : ''}
                    </Show>
                    <small> {t('asOf', { time: clock(tick) })}</small>
                  </p>
                )}
              </For>
            )}
          </Show>
        )}
      </Show>
    </div>
  );
}
