//! Classes of cases with their handling limits, as 运城 published them for GB/T 30428.8, and who handles them.
//!
//! Cities number the majors 突发事件 and 街面秩序 differently; here 04 is 突发事件, and the code table is data.

/// 专业部门.
#[derive(Clone, Copy, Debug)]
pub struct Department {
    /// Its id in reference records and in `dispatched`.
    pub id: &'static str,
    /// Its name.
    pub zh: &'static str,
}

/// The departments.
pub const DEPARTMENTS: [Department; 7] = [
    Department { id: "dept-sanitation", zh: "环境卫生服务中心" },
    Department { id: "dept-municipal", zh: "市政工程处" },
    Department { id: "dept-garden", zh: "园林绿化中心" },
    Department { id: "dept-law", zh: "城市管理执法支队" },
    Department { id: "dept-water", zh: "供水公司" },
    Department { id: "dept-gas", zh: "燃气公司" },
    Department { id: "dept-light", zh: "路灯管理所" },
];

/// A class of cases.
#[derive(Clone, Copy, Debug)]
pub struct CaseClass {
    /// Kind and code, such as `event:0112`.
    pub id: &'static str,
    /// Its name.
    pub zh: &'static str,
    /// How many units its handling may take.
    pub amount: u32,
    /// `urgent_hour`, `working_hour`, `working_day` or `natural_day`.
    pub unit: &'static str,
    /// Index of its department in [`DEPARTMENTS`].
    pub department: usize,
    /// How often it happens, relative to others.
    pub weight: f64,
}

const fn class(
    id: &'static str,
    zh: &'static str,
    (amount, unit): (u32, &'static str),
    department: usize,
    weight: f64,
) -> CaseClass {
    CaseClass { id, zh, amount, unit, department, weight }
}

const URGENT_HOUR: &str = "urgent_hour";
const WORKING_HOUR: &str = "working_hour";
const WORKING_DAY: &str = "working_day";
const NATURAL_DAY: &str = "natural_day";

/// The classes of the simulated city.
pub const CLASSES: [CaseClass; 22] = [
    class("event:0112", "道路不洁", (2, WORKING_HOUR), 0, 16.0),
    class("event:0110", "暴露垃圾", (4, WORKING_HOUR), 0, 18.0),
    class("event:0192", "垃圾满溢", (4, WORKING_HOUR), 0, 10.0),
    class("event:0111", "积存垃圾渣土", (1, WORKING_DAY), 0, 5.0),
    class("event:0113", "道路破损", (5, WORKING_DAY), 1, 5.0),
    class("event:0101", "私搭乱建", (2, NATURAL_DAY), 3, 2.0),
    class("event:0201", "非法小广告", (1, WORKING_DAY), 3, 9.0),
    class("event:0506", "占道经营", (4, WORKING_HOUR), 3, 9.0),
    class("event:0406", "道路积水", (2, URGENT_HOUR), 1, 3.0),
    class("event:0401", "供水管道破裂", (1, URGENT_HOUR), 4, 1.0),
    class("event:0402", "燃气管道破裂", (1, URGENT_HOUR), 5, 0.5),
    class("event:0405", "路面塌陷", (2, URGENT_HOUR), 1, 0.5),
    class("component:0103", "雨水井盖缺失", (2, URGENT_HOUR), 1, 2.0),
    class("component:0102", "污水井盖破损", (4, URGENT_HOUR), 1, 2.0),
    class("component:0104", "雨水箅子堵塞", (1, WORKING_DAY), 1, 3.0),
    class("component:0137", "路灯不亮", (2, WORKING_DAY), 6, 4.0),
    class("component:0125", "供水器漏水", (2, URGENT_HOUR), 4, 1.0),
    class("component:0305", "垃圾箱破损", (3, WORKING_DAY), 0, 3.0),
    class("component:0304", "中转站未及时清运", (4, WORKING_HOUR), 0, 1.0),
    class("component:0402", "行道树缺失", (15, WORKING_DAY), 2, 1.0),
    class("component:0401", "古树名木枯死", (2, WORKING_DAY), 2, 0.3),
    class("component:0408", "绿地护栏破损", (3, WORKING_DAY), 2, 2.0),
];
