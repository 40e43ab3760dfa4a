// The command screen: one frame, shown whole. Disconnected dims everything that is data.

import { Show, createEffect, onCleanup } from 'solid-js';
import { clock } from '../../model/time';
import { AlertsPanel } from './AlertsPanel';
import { Header } from './Header';
import { Headline, Tiles } from './Numbers';
import { MapPanel } from './MapPanel';
import { Ranking } from './Ranking';
import { createScreen } from './state';
import '../shared/base.css';
import './command.css';
import { TownPanel } from './TownPanel';
import { TrendStrip } from './TrendStrip';

export function CommandScreen() {
  const screen = createScreen();
  const back = (event: KeyboardEvent) => {
    if (event.key === 'Escape') screen.setScope(null);
  };
  addEventListener('keydown', back);
  onCleanup(() => removeEventListener('keydown', back));
  // A district that has gone takes its scope with it.
  createEffect(() => {
    const scope = screen.scope();
    if (scope !== null && screen.frame() && !screen.district(scope)) screen.setScope(null);
  });

  return (
    <div
      class="command"
      classList={{ dim: screen.health() !== 'live' }}
      data-testid="command"
      data-tick={screen.frame()?.tick}
      data-health={screen.health()}
      data-scope={screen.scope() ?? ''}
    >
      <Header screen={screen} />
      <Show when={screen.health() === 'disconnected' || screen.health() === 'stalled'}>
        <div class="frozen" role="status" data-testid="frozen">
          {screen.t('dimmed', { time: clock(screen.frame()?.tick ?? 0) })}
        </div>
      </Show>
      <main class="data">
        <div class="column left">
          <Headline screen={screen} />
          <Tiles screen={screen} />
          <TownPanel screen={screen} />
        </div>
        <MapPanel screen={screen} />
        <div class="column right">
          <AlertsPanel screen={screen} />
          <Ranking screen={screen} />
        </div>
        <TrendStrip screen={screen} />
      </main>
      <Show when={screen.frame() === null}>
        <div class="first" role="status">{screen.t('waitingFirst')}</div>
      </Show>
    </div>
  );
}
