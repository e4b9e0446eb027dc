//! A catalogue that looks real, of any size and always the same for a seed, for benchmarks.
//!
//! Words are drawn as languages draw them (the n-th most frequent one with probability 1/n): first
//! those that such plugins are made of, then ever rarer invented ones.

use search_engine::Document;

const CHINESE: &str = "备份 监控 日志 清理 安装 部署 数据库 服务器 网络 系统 磁盘 证书 端口 镜像 换源 容器 集群 文件 管理 配置 \
    一键 自动 批量 定时 同步 加密 压缩 转换 下载 视频 图片 代理 安全 防火墙 密码 用户 进程 内存 性能 优化 分析 检查 查询 \
    测试 通知 告警 邮件 终端 脚本 工具 环境 版本 切换 升级 恢复 迁移 仓库 代码 构建 发布 任务 计划 域名 解析 缓存 队列 \
    消息 搜索 索引 统计 报表 面板 助手 生成 模板 接口 网站 爬虫 翻译 二维码 字幕 音频 游戏 路由器 树莓派 硬盘 分区 挂载 \
    权限 审计 漏洞 扫描 密钥 登录 认证 负载均衡 反向代理 内网穿透 快照 归档 重命名 编码 时间 时区 内核 驱动 显卡 模型";
const ENGLISH: &str = "docker git linux backup nginx mysql redis log monitor server file python kubernetes tool config \
    install clean network sync deploy json shell node database security cache proxy image video convert search test \
    build script system check helper manager generator cloud postgres container web api http ssh cron disk memory port \
    process service user password certificate mirror update upgrade restore migrate archive compress encrypt scan audit \
    format lint parse report stats dashboard alert mail notify terminal theme plugin package release version branch \
    commit merge registry cluster node pod helm queue kafka rabbitmq elastic kibana grafana prometheus metrics trace \
    debug benchmark load tune kernel driver gpu model chat token oauth2 jwt yaml csv xml markdown pdf";
const SYLLABLES: &str = "ba be bi bo da de di do fa fi ga go ka ke ki ko la le li lo ma me mi mo na ne ni no pa pe pi po \
    ra re ri ro sa se si so ta te ti to va ve vi vo za ze zi zo tron lex dar fix mon pac net sys lab hub";
const CHARACTERS: &str = "天地人和大小中上下左右前后内外东南西北高低长短新旧快慢多少开关进出来去起止分合加减乘除电机程序\
    数字表格图形声音光影色彩线面点位层级组件块链环节流池库房厂站台架板卡片条件项目标签页码号牌证件文书信报刊物品质量\
    度衡轻重冷热水火木金土石风云雨雪山海江河湖林草花果米面茶酒盐糖油药医学校园区城市乡村街道路桥车船飞航空宇宙星月日";

/// A plugin with what the catalogue knows about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Its text; keys count up from 1.
    pub(crate) document: Document,
    /// Few have many.
    pub(crate) downloads: u64,
    /// The mean of its votes, 0 without any.
    pub(crate) rating: f32,
    /// How many rated it.
    pub(crate) votes: u64,
}

/// The first `count` plugins of the catalogue with this seed.
pub(crate) fn generate(count: u64, seed: u64) -> impl Iterator<Item = Sample> {
    let words = Words::new();
    (1..=count).map(move |key| words.sample(key, &mut Dice(seed ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// Chance, the same on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next number (splitmix64).
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, all equally likely.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// From 0 to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `end`, the n-th with a probability of about 1/n.
    pub(crate) fn rank(&mut self, end: u64) -> u64 {
        ((self.fraction() * ((end + 1) as f64).ln()).exp() as u64).clamp(1, end) - 1
    }
}

/// The words of both languages, most frequent first.
pub(crate) struct Words {
    chinese: Vec<String>,
    english: Vec<String>,
}

const VOCABULARY: usize = 30_000;

impl Default for Words {
    fn default() -> Self {
        Self::new()
    }
}

impl Words {
    /// The same words for every seed.
    pub(crate) fn new() -> Self {
        let mut dice = Dice(1);
        let mut chinese: Vec<String> = CHINESE.split_whitespace().map(str::to_owned).collect();
        let characters: Vec<char> = CHARACTERS.chars().collect();
        while chinese.len() < VOCABULARY {
            chinese.push(
                (0..2 + dice.below(2)).map(|_| characters[dice.below(characters.len() as u64) as usize]).collect(),
            );
        }
        let mut english: Vec<String> = ENGLISH.split_whitespace().map(str::to_owned).collect();
        let syllables: Vec<&str> = SYLLABLES.split_whitespace().collect();
        while english.len() < VOCABULARY {
            english
                .push((0..2 + dice.below(3)).map(|_| syllables[dice.below(syllables.len() as u64) as usize]).collect());
        }
        Self { chinese, english }
    }

    /// A Chinese word, frequent ones often.
    pub(crate) fn chinese(&self, dice: &mut Dice) -> &str {
        &self.chinese[dice.rank(self.chinese.len() as u64) as usize]
    }

    /// An English word, frequent ones often.
    pub(crate) fn english(&self, dice: &mut Dice) -> &str {
        &self.english[dice.rank(self.english.len() as u64) as usize]
    }

    fn sample(&self, key: u64, dice: &mut Dice) -> Sample {
        let is_chinese = dice.below(10) < 6;
        let subject = self.english(dice).to_owned();
        let id = format!("{subject}-{}-{}", self.english(dice), base36(key));
        let mut name = capitalized(&subject);
        let mut description = String::new();
        if is_chinese {
            name = if dice.below(3) > 0 { format!("{name} ") } else { String::new() };
            (0..2 + dice.below(2)).for_each(|_| name.push_str(self.chinese(dice)));
            for i in 0..12 + dice.below(20) {
                description.push_str(match dice.below(8) {
                    _ if i == 0 => "",
                    0 => "，",
                    1 => "的",
                    2 => "和",
                    _ => "",
                });
                match dice.below(12) {
                    0 => description.push_str(&format!(" {} ", self.english(dice))),
                    _ => description.push_str(self.chinese(dice)),
                }
            }
            description.push('。');
        } else {
            (0..1 + dice.below(2)).for_each(|_| name.push_str(&format!(" {}", capitalized(self.english(dice)))));
            for i in 0..10 + dice.below(20) {
                let joint = ["", ", ", " and ", " for the ", " with ", " of "][dice.rank(6) as usize];
                description.push_str(if i == 0 {
                    ""
                } else if joint.is_empty() {
                    " "
                } else {
                    joint
                });
                description.push_str(self.english(dice));
            }
            description.push('.');
        }
        let tags = (0..1 + dice.below(4))
            .map(|_| if is_chinese && dice.below(2) == 0 { self.chinese(dice) } else { self.english(dice) }.to_owned())
            .collect::<std::collections::BTreeSet<_>>();
        let scripts = (0..1 + dice.rank(4)).map(|_| format!("{}.sh", self.english(dice))).collect();
        let author = format!("{}{}", self.english[500 + dice.rank(5_000) as usize], dice.below(100));
        let votes = dice.rank(500);
        Sample {
            document: Document { key, id, name, tags: tags.into_iter().collect(), author, description, scripts },
            downloads: (dice.fraction().powi(4) * 14.0).exp() as u64,
            rating: if votes == 0 { 0.0 } else { (250 + dice.below(251)) as f32 / 100.0 },
            votes,
        }
    }
}

fn capitalized(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]));
        number /= 36;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plugins_with_valid_distinct_ids() {
        let all: Vec<Sample> = generate(2_000, 7).collect();
        assert!(all.iter().cloned().eq(generate(2_000, 7)));
        let ids: std::collections::HashSet<&str> = all.iter().map(|sample| sample.document.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        let valid =
            |id: &str| id.len() <= 50 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(ids.iter().all(|id| valid(id)));
    }
}
