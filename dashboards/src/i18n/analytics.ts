// The analytics screen, in both languages.
export const zh = {
  analyticsTitle: '城市运行分析',
};

export const en: Record<keyof typeof zh, string> = {
  analyticsTitle: 'City Analytics',
};
