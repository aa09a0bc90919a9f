// The pages of the site in the order of the menu. A new file in src/pages shows up by itself:
// `label` and `order` come from the front matter (Markdown) or from exports of those names (Astro).

interface PageFile {
  label?: string;
  order?: number;
  frontmatter?: { label?: string; title?: string; order?: number };
}

const files = import.meta.glob<PageFile>('./pages/*.{astro,md}', { eager: true });

const slugOf = (path: string) => path.replace(/^.*\//, '').replace(/\.(astro|md)$/, '');

const spoken = (slug: string) => slug.charAt(0).toUpperCase() + slug.slice(1).replaceAll('-', ' ');

export const pages = Object.entries(files)
  .map(([path, file]) => ({ slug: slugOf(path), file }))
  .filter(({ slug }) => slug !== '404')
  .map(({ slug, file }) => ({
    url: slug === 'index' ? '/' : `/${slug}/`,
    label: file.label ?? file.frontmatter?.label ?? file.frontmatter?.title ?? spoken(slug),
    order: file.order ?? file.frontmatter?.order ?? 50,
  }))
  .sort((a, b) => a.order - b.order || a.label.localeCompare(b.label));
