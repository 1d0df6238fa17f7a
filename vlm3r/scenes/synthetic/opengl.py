"""Draws a lit home with OpenGL; Mesa's software renderer is enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlm3r.errors import UserError
from vlm3r.scenes.schema import Intrinsics

from .mesh import Mesh
from .pixels import averaged, close_cracks
from .shading import GLSL
from .shapes import Array
from .stage import Stage

NEAR, FAR = 0.05, 80.0
"""Metres between which surfaces are drawn."""

VERTEX_SHADER = """
#version 330
uniform mat4 to_clip;
in vec3 position; in vec3 normal; in vec2 uv; in vec3 colour; in vec4 style; in vec4 light;
out vec3 point; out vec3 facing; out vec2 st; out vec3 tint; out vec4 lit; flat out vec4 look;
void main() {
    point = position; facing = normal; st = uv; tint = colour; lit = light; look = style;
    gl_Position = to_clip * vec4(position, 1.0);
}
"""

FRAGMENT_SHADER = f"""
#version 330
uniform sampler2DArray textures;
uniform vec3 eye;
in vec3 point; in vec3 facing; in vec2 st; in vec3 tint; in vec4 lit; flat in vec4 look;
layout(location = 0) out vec4 picture;
layout(location = 1) out vec2 depth_and_instance;
{GLSL}
void main() {{
    vec3 texel = texture(textures, vec3(st, look.x)).rgb;
    picture = vec4(developed(radiance(tint * texel * texel, point, facing, lit, look.y, look.z, eye)), 1.0);
    depth_and_instance = vec2(1.0 / gl_FragCoord.w, look.w);
}}
"""

EXACT_VERTEX_SHADER = """
#version 330
uniform mat4 to_clip;
in vec3 position; in vec4 style;
flat out float instance;
void main() { instance = style.w; gl_Position = to_clip * vec4(position, 1.0); }
"""

EXACT_FRAGMENT_SHADER = """
#version 330
flat in float instance;
layout(location = 0) out vec2 depth_and_instance;
void main() { depth_and_instance = vec2(1.0 / gl_FragCoord.w, instance); }
"""


class OpenGLMissing(UserError):
    """No OpenGL context can be made on this machine."""


def open_context() -> Any:
    """An off-screen OpenGL 3.3 context, through EGL where the system has it.

    Raises:
        OpenGLMissing: moderngl or the system's libraries are missing.
    """
    try:
        import moderngl
    except ImportError as error:
        raise OpenGLMissing(f"OpenGL needs the package moderngl ({error}); run: pip install moderngl") from error
    reasons: list[str] = []
    choices: list[dict[str, Any]] = [
        {"backend": "egl", "libgl": "libGL.so.1", "libegl": "libEGL.so.1"},
        {"backend": "egl"},
        {},
    ]
    for names in choices:
        try:
            return moderngl.create_context(standalone=True, require=330, **names)
        except Exception as error:  # the back ends' errors have no common type
            reasons.append(str(error) or type(error).__name__)
    raise OpenGLMissing(
        f"no OpenGL context ({reasons[0]}); install the system's libEGL and libGL (Debian: libegl1 libgl1), "
        "or render by ray casting"
    )


def clip_matrix(camera: Intrinsics, pose: Array) -> Array:
    """4x4 matrix from world points to OpenGL clip space for an OpenCV camera pose (x right, y down, z forward)."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    projection = np.zeros((4, 4))
    projection[0, 0], projection[0, 2] = 2 * camera.fx / camera.width, 1 - 2 * camera.cx / camera.width
    projection[1, 1], projection[1, 2] = 2 * camera.fy / camera.height, 2 * camera.cy / camera.height - 1
    projection[2, 2], projection[2, 3] = -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    projection[3, 2] = -1
    return projection @ flip @ np.linalg.inv(pose)


class OpenGLRenderer:
    """Renders a stage; see `render.Renderer`."""

    backend = "opengl"

    def __init__(self, stage: Stage, camera: Intrinsics, supersample: int = 1) -> None:
        """Uploads everything; raises OpenGLMissing."""
        self.camera, self.factor = camera, supersample
        self.context = open_context()
        self.context.enable(self.context.DEPTH_TEST)
        self._upload(stage)
        width, height = camera.width, camera.height
        exact = self.context.texture((width, height), 2, dtype="f4")
        large = (width * supersample, height * supersample)
        colour, depth = self.context.texture(large, 4), self.context.depth_renderbuffer(large)
        if supersample == 1:
            self.picture = self.context.framebuffer([colour, exact], depth)
            self.exact = self.picture
        else:
            self.picture = self.context.framebuffer([colour], depth)
            self.exact = self.context.framebuffer([exact], self.context.depth_renderbuffer((width, height)))

    def _upload(self, stage: Stage) -> None:
        """Send vertices, triangles, textures and windows to the device once."""
        mesh, context = stage.mesh, self.context
        self.program = context.program(vertex_shader=VERTEX_SHADER, fragment_shader=FRAGMENT_SHADER)
        self.exact_program = context.program(vertex_shader=EXACT_VERTEX_SHADER, fragment_shader=EXACT_FRAGMENT_SHADER)
        columns = (mesh.position, mesh.normal, mesh.uv, mesh.colour, mesh.style, stage.light)
        look = context.buffer(np.concatenate(columns, axis=1).astype(np.float32).tobytes())
        plain = context.buffer(np.concatenate([mesh.position, mesh.style], axis=1).astype(np.float32).tobytes())
        index = context.buffer(np.ascontiguousarray(mesh.triangles, np.int32).tobytes())
        names = ("position", "normal", "uv", "colour", "style", "light")
        self.surfaces = context.vertex_array(self.program, [(look, "3f 3f 2f 3f 4f 4f", *names)], index)
        self.bare = context.vertex_array(self.exact_program, [(plain, "3f 4f", "position", "style")], index)
        layers, height, width = stage.textures.shape[:3]
        self.textures = context.texture_array((width, height, layers), 3, stage.textures.tobytes(), alignment=1)
        self.textures.build_mipmaps()
        self.textures.filter = (context.LINEAR_MIPMAP_LINEAR, context.LINEAR)
        panes = np.zeros((self.program["panes"].array_length, 3, 3), np.float32)
        panes[: len(stage.panes)] = stage.panes
        self.program["panes"].write(panes.tobytes())
        self.program["pane_count"].value = len(stage.panes)
        self.corners = np.stack([_box_corners(mesh, first, count) for _, first, count in mesh.runs.tolist()])
        self.firsts = np.append(mesh.runs[:, 1], len(mesh.triangles))  # the runs follow each other without gaps

    def frame(self, pose: Array) -> Array:
        """The picture, uint8 (height, width, RGB)."""
        with self.context:
            self._draw(self.surfaces, self.picture, pose)
            return self._picture()

    def depth_and_instances(self, pose: Array) -> tuple[Array, Array]:
        """Depth in metres, float32, and instances, int32, each (height, width); 0 where there is nothing."""
        with self.context:
            self._draw(self.surfaces if self.exact is self.picture else self.bare, self.exact, pose)
            return self._depth_and_instances()

    def capture(self, pose: Array) -> tuple[Array, Array, Array]:
        """Picture, depth and instances, in one pass unless supersampled."""
        with self.context:
            self._draw(self.surfaces, self.picture, pose)
            picture = self._picture()
            if self.exact is not self.picture:
                self._draw(self.bare, self.exact, pose)
            return (picture, *self._depth_and_instances())

    def close(self) -> None:
        """Give the context back."""
        self.context.release()

    def _draw(self, surfaces: Any, target: Any, pose: Array) -> None:
        """Draw what is in view into a frame buffer."""
        target.use()
        target.clear(0.0, 0.0, 0.0, 0.0)
        self.textures.use(0)
        to_clip = clip_matrix(self.camera, np.asarray(pose, float))
        surfaces.program["to_clip"].write(to_clip.T.astype("f4").tobytes())
        if surfaces is self.surfaces:
            self.program["eye"].value = tuple(float(c) for c in pose[:3, 3])
        for first, stop in _stretches(_in_view(self.corners @ to_clip.T)):
            surfaces.render(vertices=3 * int(self.firsts[stop] - self.firsts[first]), first=3 * int(self.firsts[first]))

    def _picture(self) -> Array:
        height, width = self.camera.height * self.factor, self.camera.width * self.factor
        data = np.frombuffer(self.picture.read(components=4), np.uint8).reshape(height, width, 4)[::-1]
        samples = np.array(data[..., :3])
        close_cracks(data[..., 3] > 0, samples)
        return averaged(samples, self.factor)

    def _depth_and_instances(self) -> tuple[Array, Array]:
        number = len(self.exact.color_attachments) - 1
        data = np.frombuffer(self.exact.read(components=2, attachment=number, dtype="f4"), np.float32)
        data = data.reshape(self.camera.height, self.camera.width, 2)[::-1]
        depth, instances = np.array(data[..., 0]), np.rint(data[..., 1]).astype(np.int32)
        close_cracks(depth > 0, depth, instances)
        return depth, instances


def _box_corners(mesh: Mesh, first: int, count: int) -> Array:
    """Homogeneous corners (8, 4) of the axis-aligned box around a run of triangles."""
    points = mesh.position[mesh.triangles[first : first + count].ravel()]
    ends = np.stack([points.min(0), points.max(0)])
    corners = [(ends[i, 0], ends[j, 1], ends[k, 2], 1.0) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.array(corners)


def _in_view(clip: Array) -> Array:
    """False for boxes whose corners, in clip coordinates (box, 8, 4), all lie beyond one side of the picture."""
    x, y, z, w = np.moveaxis(clip, -1, 0)
    beyond = np.stack([x > w, x < -w, y > w, y < -w, z < -w])
    return np.asarray(~beyond.all(axis=2).any(axis=0))


def _stretches(wanted: Array) -> list[tuple[int, int]]:
    """First and last-but-one positions of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
