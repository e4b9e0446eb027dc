"""
我的插件服务
"""
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
import httpx
import asyncio
from typing import Optional, List

# 创建 FastAPI 应用
app = FastAPI(
    title="My Plugin Service",
    description="我的自定义插件服务",
    version="1.0.0",
)

# ==================== 服务注册配置 ====================

# 配置注册中心地址
REGISTRY_URL = "http://localhost:8001"

# 服务配置
SERVICE_CONFIG = {
    "name": "my-plugin",              # 服务唯一标识
    "display_name": "我的插件服务",    # 显示名称
    "description": "这是我的第一个插件服务",
    "version": "1.0.0",
    "host": "localhost",              # 服务主机
    "port": 8010,                     # 服务端口
    "base_path": "/",                 # 基础路径
    "health_check_url": "/health",    # 健康检查端点
    "metadata": {
        "author": "Your Name",
        "category": "custom",
    },
    "tags": ["plugin", "custom"],
    "requires_auth": False,           # 是否需要认证
    "endpoints": [
        # 定义所有端点
        {
            "path": "hello",
            "method": "GET",
            "description": "问候端点",
            "is_public": True,
        },
        {
            "path": "data",
            "method": "GET",
            "description": "获取数据列表",
            "is_public": True,
        },
        {
            "path": "data",
            "method": "POST",
            "description": "创建数据",
            "is_public": True,
        },
    ],
}


# ==================== 服务注册逻辑 ====================

async def register_service():
    """向注册中心注册服务"""
    async with httpx.AsyncClient() as client:
        try:
            response = await client.post(
                f"{REGISTRY_URL}/api/registry/register",
                json=SERVICE_CONFIG,
            )
            if response.status_code in [200, 201]:
                print(f"✓ 服务注册成功: {SERVICE_CONFIG['name']}")
                return response.json()
            else:
                print(f"✗ 服务注册失败: {response.status_code}")
        except Exception as e:
            print(f"✗ 连接注册中心失败: {e}")
            print(f"  请确保注册中心运行在 {REGISTRY_URL}")


async def send_heartbeat():
    """定期发送心跳"""
    while True:
        await asyncio.sleep(30)  # 每30秒一次
        async with httpx.AsyncClient() as client:
            try:
                await client.post(
                    f"{REGISTRY_URL}/api/registry/heartbeat",
                    json={
                        "service_id": SERVICE_CONFIG["name"],
                        "status": "healthy",
                    },
                )
            except Exception:
                pass  # 忽略心跳失败


@app.on_event("startup")
async def startup_event():
    """启动时注册服务并开始心跳"""
    await register_service()
    asyncio.create_task(send_heartbeat())


@app.on_event("shutdown")
async def shutdown_event():
    """关闭时注销服务"""
    async with httpx.AsyncClient() as client:
        try:
            await client.post(
                f"{REGISTRY_URL}/api/registry/deregister/{SERVICE_CONFIG['name']}"
            )
            print("✓ 服务注销成功")
        except Exception as e:
            print(f"✗ 服务注销失败: {e}")


# ==================== 业务逻辑 ====================

# 数据模型
class DataItem(BaseModel):
    id: Optional[int] = None
    title: str
    content: str


# 内存存储
data_store: List[DataItem] = []
id_counter = 1


@app.get("/")
async def root():
    """根端点"""
    return {
        "service": SERVICE_CONFIG["display_name"],
        "version": SERVICE_CONFIG["version"],
        "status": "running",
    }


@app.get("/health")
async def health_check():
    """健康检查"""
    return {"status": "healthy"}


@app.get("/hello")
async def hello(name: str = "World"):
    """问候端点"""
    return {"message": f"Hello, {name}!"}


@app.get("/data")
async def get_data():
    """获取所有数据"""
    return {"data": data_store, "count": len(data_store)}


@app.post("/data")
async def create_data(item: DataItem):
    """创建新数据"""
    global id_counter
    item.id = id_counter
    data_store.append(item)
    id_counter += 1
    return {"status": "created", "item": item}


@app.get("/data/{item_id}")
async def get_data_item(item_id: int):
    """获取单个数据"""
    for item in data_store:
        if item.id == item_id:
            return item
    raise HTTPException(status_code=404, detail="Item not found")


# ==================== 启动服务 ====================

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(
        app,
        host=SERVICE_CONFIG["host"],
        port=SERVICE_CONFIG["port"],
    )
