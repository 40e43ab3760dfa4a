// The analytics screen, in both languages.
export const zh = {
  analyticsTitle: '城市运行分析', scheme: '口径', period: '时间', comparedWith: '对比', noScheme: '尚无评分办法', noPrevious: '无上期', scope: '范围',
  copyLink: '复制链接', copied: '已复制', exportOf: '导出 {name} CSV',
  scoresTitle: '区县评分与构成', scoresHint: '点一行看构成与变化', scoreOf: '得分', changeOf: '较上期', gradeOf: '等级', dataComplete: '完整度', outOf100: '构成（满分 100）',
  provisional: '暂定', unitCount: '{n} 个对象', meanScore: '均分', noScores: '此口径与时间下没有评分',
  said: '均分 {score} 分{change}', saidUp: '，较上期升 {points}', saidDown: '，较上期降 {points}', saidSame: '，与上期持平',
  saidFall: '{place}降 {points} 至 {score}', saidBy: '，主要来自{indicator}（{points}）', saidNoFall: '没有对象下降', saidIncomplete: '{n} 个对象数据完整度低于 95%：{places}',
  movedTitle: '{place}：得分变化来自哪里', points: '分', before: '上期', after: '本期', unexplained: '其他', noMove: '没有上期可比',
  trendTitle: '各期走势', indicatorsTitle: '{place}：指标明细', indicatorsHint: '点一行看算法', indicatorOf: '指标', weightOf: '权重', numbersOf: '分子 / 分母', valueOf: '值', pointsOf: '贡献分',
  formula: '算法', source: '依据', noFormula: '此指标没有登记算法', noExplain: '此引擎尚不能展开到案件', casesOf: '案件 {n} 件', asOf: '{time} 时', 'state.counted': '计分', 'state.not_applicable': '不适用', 'state.missing': '缺数据',
  casesTitle: '案件办结', casesPeriod: '{period}', casesAll: '累计', reportedOf: '上报', closedOfCases: '结案', openOf: '待办', overdueOf: '超期', onTimeOf: '按时率', reworkedOf: '返工',
  parksTitle: '公园服务半径', parkSchemeOf: '规则', areaShare: '用地覆盖率', peopleShare: '人口覆盖率', walkingShare: '步行可达率', thresholdOf: '达标线 {share}%', uncoveredPeople: '未覆盖人口',
  uncoveredTitle: '未覆盖居住区', straightOf: '直线', walkingOf: '步行', coveredHome: '已覆盖', uncoveredHome: '未覆盖', park: '公园', parksMap: '公园与居住区地图', uncoveredN: '未覆盖 {n} 片',
  shareByDistrict: '区县覆盖率', howTo: '口径', howToText: '得分 = Σ（指标得分 × 权重），不适用的指标不计、其余权重按比例放大；暂定表示本期未结束或数据未齐。完整度是数据已齐的权重之和。',
  coverageNow: '当班作业覆盖率', onTimeNow: '按时办结率', parkNow: '公园服务覆盖率', peopleNow: '公园服务人口', districtsTotal: '全市', listComma: '、',
};

export const en: Record<keyof typeof zh, string> = {
  analyticsTitle: 'City Analytics', scheme: 'Scheme', period: 'Period', comparedWith: 'Against', noScheme: 'No score scheme yet', noPrevious: 'no period before', scope: 'Scope',
  copyLink: 'Copy link', copied: 'Copied', exportOf: '{name} as CSV',
  scoresTitle: 'Scores and their parts', scoresHint: 'click a row for its parts and changes', scoreOf: 'Score', changeOf: 'Change', gradeOf: 'Grade', dataComplete: 'Complete', outOf100: 'Parts (of 100)',
  provisional: 'provisional', unitCount: '{n} units', meanScore: 'Mean', noScores: 'No scores by this scheme in this period',
  said: 'Mean score {score}{change}', saidUp: ', up {points}', saidDown: ', down {points}', saidSame: ', unchanged',
  saidFall: '{place} fell {points} to {score}', saidBy: ', most of it by {indicator} ({points})', saidNoFall: 'No unit fell', saidIncomplete: '{n} units with less than 95% of their data: {places}',
  movedTitle: '{place}: what moved the score', points: 'points', before: 'Before', after: 'Now', unexplained: 'Other', noMove: 'No period before to compare with',
  trendTitle: 'By period', indicatorsTitle: '{place}: indicators', indicatorsHint: 'click a row for its formula', indicatorOf: 'Indicator', weightOf: 'Weight', numbersOf: 'Numerator / denominator', valueOf: 'Value', pointsOf: 'Points',
  formula: 'Formula', source: 'Source', noFormula: 'No formula is recorded for this indicator', noExplain: 'This engine does not explain scores yet', casesOf: '{n} cases', asOf: 'as of {time}', 'state.counted': 'counted', 'state.not_applicable': 'not applicable', 'state.missing': 'missing',
  casesTitle: 'Cases', casesPeriod: '{period}', casesAll: 'all time', reportedOf: 'Reported', closedOfCases: 'Closed', openOf: 'Open', overdueOf: 'Overdue', onTimeOf: 'On time', reworkedOf: 'Reworked',
  parksTitle: 'Parks within reach', parkSchemeOf: 'Rule', areaShare: 'By area', peopleShare: 'By people', walkingShare: 'On foot', thresholdOf: 'asked for {share}%', uncoveredPeople: 'People out of reach',
  uncoveredTitle: 'Residences out of reach', straightOf: 'Straight', walkingOf: 'On foot', coveredHome: 'within reach', uncoveredHome: 'out of reach', park: 'park', parksMap: 'Map of parks and residences', uncoveredN: '{n} out of reach',
  shareByDistrict: 'By district', howTo: 'How it is computed', howToText: 'Score = Σ (points of an indicator × weight). Indicators that do not apply are left out and the other weights grow. Provisional: the period is not over or an input is missing. Complete: the weight whose inputs are there.',
  coverageNow: 'Coverage, this shift', onTimeNow: 'Closed on time', parkNow: 'Parks within reach', peopleNow: 'People within reach', districtsTotal: 'City', listComma: ', ',
};
