export function AnalyticsScreen() { return <div />; }
