// The entry of the page: the address says which screen. A screen's code is loaded only where it is shown.
import type { JSX } from 'solid-js';
import { render } from 'solid-js/web';
import { type ScreenName, screenOf } from './screens/shared/Nav';

const load: Record<ScreenName, () => Promise<() => JSX.Element>> = {
  command: async () => (await import('./screens/command/CommandScreen')).CommandScreen,
  dispatch: async () => (await import('./screens/dispatch/DispatchScreen')).DispatchScreen,
  analytics: async () => (await import('./screens/analytics/AnalyticsScreen')).AnalyticsScreen,
};

const root = document.getElementById('app');
if (root) {
  const Screen = await load[screenOf(location.pathname)]();
  render(() => <Screen />, root);
}
